/* The summary of a refused form takes the focus, and its links move the focus to the fields. */
(function () {
  "use strict";

  function fieldOf(link) {
    const target = document.getElementById(link.hash.slice(1));
    if (!target) return null;
    return target.matches("fieldset") ? target.querySelector("input:not([type=hidden])") : target;
  }

  htmx.onLoad(function (part) {
    const summary = part.matches(".problems") ? part : part.querySelector(".problems");
    if (summary) summary.focus();
  });

  document.addEventListener("click", function (event) {
    const link = event.target.closest(".problems a");
    const field = link && fieldOf(link);
    if (!field) return;
    event.preventDefault();
    (field.closest(".field") || field).scrollIntoView({ block: "start" });
    field.focus({ preventScroll: true });
  });
})();
