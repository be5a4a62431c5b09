/* Shows times in the reader's zone and keeps ages up to date. The title of each keeps the time in UTC. */
(function () {
  "use strict";

  const MINUTE = 60000;
  const AGES = [[86400000, "d"], [3600000, "h"], [MINUTE, "min"]]; // as in pages/common/filters.py
  const LONGEST_AGE = 30 * AGES[0][0];
  const DAY = { day: "numeric", month: "short", year: "numeric" };
  const language = document.documentElement.lang === "en" ? "en-GB" : document.documentElement.lang;
  const days = new Intl.DateTimeFormat(language, DAY);
  const moments = new Intl.DateTimeFormat(language, { ...DAY, hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

  function ageOf(at) {
    const passed = Date.now() - at;
    if (passed >= LONGEST_AGE) return days.format(at);
    const unit = AGES.find(([length]) => passed >= length);
    return unit ? `${Math.floor(passed / unit[0])} ${unit[1]} ago` : "just now";
  }

  function show(time) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) return;
    const kind = time.dataset.shown;
    const text = kind === "age" ? ageOf(at) : kind === "day" ? days.format(at) : moments.format(at);
    if (time.textContent !== text) time.textContent = text;
  }

  function showAll(part, kind) {
    part.querySelectorAll(`time[data-shown${kind}]`).forEach(show);
  }

  htmx.onLoad(function (part) {
    if (part.matches("time[data-shown]")) show(part);
    showAll(part, "");
  });
  setInterval(function () { showAll(document, "=age"); }, MINUTE);
})();
