"""A short drill from the newest tag to this version under load. Without the commit of a tag there is none."""

from tests.support.postgres import cloned_database
from tests.upgrade.drill import Scale, run_drill
from tests.upgrade.versions import later_version, newest_tag, tagged_version
from tests.upgrade.witnesses import Kafka

TAG = newest_tag()
SHORT = Scale(per_second=10.0, pause_requests=10, workers=1)

if TAG is not None:

    def test_an_upgrade_from_the_newest_tag_loses_nothing_and_fails_no_request(
        postgres, kafka, kafka_prefix, tmp_path
    ):
        """How long requests may be refused is judged by `make upgrade`, because it depends on the machine."""
        old, new = tagged_version(TAG, tmp_path / "old"), later_version(tmp_path / "new")
        home = tmp_path / "home"
        home.mkdir()
        with cloned_database(postgres, "template1") as dsn:
            report = run_drill(dsn, old, new, home, SHORT, Kafka(kafka, kafka_prefix))

        print(*report.lines(), sep="\n")
        assert (report.failed, report.violations) == ([], {})
        assert report.events > 0
