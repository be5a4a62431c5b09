/* Parts of pages that refresh themselves: `data-refresh` marks an element that htmx asks for again and replaces. This
   script pauses that while the page is hidden, keeps what a person has opened or selected in it, and stops it when the
   session has ended. */
(function () {
  "use strict";

  const answers = new Map(); // the last answer for each id
  let opened = [];

  function isRefreshed(element) {
    return element instanceof Element && element.matches("[data-refresh]");
  }

  function holdsSelection(element) {
    const selection = window.getSelection();
    return !selection.isCollapsed && element.contains(selection.anchorNode);
  }

  /* htmx stops asking when the element is replaced by one without its attributes. */
  function stop(element) {
    const still = element.cloneNode(true);
    for (const name of ["data-refresh", "hx-get", "hx-trigger", "hx-swap"]) {
      still.removeAttribute(name);
    }
    const message = document.createElement("p");
    message.className = "complaint";
    message.setAttribute("role", "alert");
    message.textContent = "Your session has ended. Reload the page to sign in again.";
    still.prepend(message);
    element.replaceWith(still);
  }

  document.addEventListener("htmx:beforeRequest", function (event) {
    if (isRefreshed(event.target) && document.hidden) {
      event.preventDefault();
    }
  });

  document.addEventListener("htmx:beforeSwap", function (event) {
    const element = event.detail.target;
    const request = event.detail.xhr;
    if (!isRefreshed(element) || request.status !== 200) {
      return;
    }
    if (new URL(request.responseURL).pathname !== window.location.pathname) {
      event.detail.shouldSwap = false;
      stop(element);
    } else if (answers.get(element.id) === request.responseText || holdsSelection(element)) {
      event.detail.shouldSwap = false;
    } else {
      answers.set(element.id, request.responseText);
      opened = Array.from(element.querySelectorAll("details[id]"), function (each) {
        return [each.id, each.open];
      });
    }
  });

  htmx.onLoad(function (part) {
    part.querySelectorAll(".live").forEach(function (note) {
      note.hidden = false;
    });
    opened.splice(0).forEach(function (pair) {
      const details = document.getElementById(pair[0]);
      if (details) {
        details.open = pair[1];
      }
    });
  });
})();
