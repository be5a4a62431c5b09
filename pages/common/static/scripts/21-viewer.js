/* Shows the photos of a page in a dialog: previous and next, the arrow keys, Escape. Without this script, and with a
   key held for a new tab, the link of a photo leads to the page of that photo. */
(function () {
  "use strict";

  let dialog = null; // made when the first photo is opened
  let links = []; // of the photos, in the order of the page
  let place = 0;

  function make(name, properties, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }

  function makeDialog() {
    const button = (label, text, className) =>
      make("button", { type: "button", className: `quiet ${className}`, ariaLabel: label, textContent: text });
    const parts = {
      image: make("img", { alt: "" }),
      name: make("h2", { id: "viewer-name" }),
      facts: make("span", { className: "soft" }),
      file: make("a", { className: "button small", textContent: "Download" }),
      previous: button("Previous photo", "\u2039", "step before"),
      next: button("Next photo", "\u203a", "step after"),
      close: button("Close", "\u00d7", "close small"),
    };
    const bar = make("div", { className: "bar" }, make("div", {}, parts.name, parts.facts), parts.file, parts.close);
    const stage = make("div", { className: "stage" }, parts.previous, parts.image, parts.next);
    const made = make("dialog", { className: "viewer" }, bar, stage);
    made.setAttribute("aria-labelledby", "viewer-name");
    parts.previous.addEventListener("click", () => step(-1));
    parts.next.addEventListener("click", () => step(1));
    parts.close.addEventListener("click", () => made.close());
    made.addEventListener("click", (event) => {
      if (event.target === made || event.target === stage) made.close();
    });
    made.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1 };
      if (steps[event.key]) step(steps[event.key]);
    });
    made.addEventListener("close", () => {
      parts.image.removeAttribute("src");
      const link = [...document.querySelectorAll("a.photo")].find((one) => one.href === links[place].href);
      if (link) link.focus();
    });
    document.body.append(made);
    return Object.assign(made, { parts });
  }

  function show() {
    const link = links[place];
    const { image, name, facts, file, previous, next } = dialog.parts;
    image.src = link.dataset.picture;
    image.alt = name.textContent = link.querySelector("img").alt;
    facts.textContent = `${place + 1} of ${links.length} · ${link.dataset.size}`;
    file.href = link.dataset.file;
    previous.disabled = place === 0;
    next.disabled = place === links.length - 1;
  }

  function step(by) {
    const to = place + by;
    if (to < 0 || to >= links.length) return;
    place = to;
    show();
    const { previous, next, close } = dialog.parts;
    if (document.activeElement.disabled || document.activeElement === document.body) {
      (by > 0 && !previous.disabled ? previous : !next.disabled ? next : close).focus();
    }
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.photo");
    if (!link || event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    const seen = new Map(); // a photo that is on the page twice is shown once
    for (const one of document.querySelectorAll("a.photo")) if (!seen.has(one.href)) seen.set(one.href, one);
    links = [...seen.values()];
    place = links.findIndex((one) => one.href === link.href);
    if (!dialog || !dialog.isConnected) dialog = makeDialog();
    show();
    dialog.showModal();
  });
})();
