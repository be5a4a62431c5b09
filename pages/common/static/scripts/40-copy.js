/* Copy buttons: `data-copy` is the id of the element whose text they copy. Pages show them only with this script. */
(function () {
  "use strict";

  const SHOWN_MILLISECONDS = 4000;
  const timers = new WeakMap();

  function select(element) {
    const range = document.createRange();
    range.selectNodeContents(element);
    const selection = window.getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  }

  /* Without a secure context (plain HTTP) there is no navigator.clipboard. */
  async function copy(element) {
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(element.textContent.trim());
      return;
    }
    select(element);
    if (!document.execCommand("copy")) {
      throw new Error("The browser refused to copy.");
    }
  }

  /* The region is emptied first: screen readers announce only a text that changes. */
  function announce(button, text) {
    const region = button.parentElement.querySelector("[role=status]");
    window.clearTimeout(timers.get(region));
    region.textContent = "";
    window.requestAnimationFrame(function () {
      region.textContent = text;
    });
    timers.set(region, window.setTimeout(function () {
      region.textContent = "";
    }, SHOWN_MILLISECONDS));
  }

  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-copy]");
    const element = button && document.getElementById(button.dataset.copy);
    if (!element) {
      return;
    }
    copy(element).then(function () {
      announce(button, "Copied");
    }, function () {
      select(element);
      announce(button, "Selected: press Ctrl+C or \u2318C to copy");
    });
  });

  document.addEventListener("focusin", function (event) {
    if (event.target.matches("output.secret")) {
      select(event.target);
    }
  });

  htmx.onLoad(function (part) {
    part.querySelectorAll("[data-copy]").forEach(function (button) {
      button.hidden = false;
    });
  });
})();
