/* Keys of the panel. An element with data-key="c" is used with the key c: a link or button is clicked, a field gets
   the focus. In a list of tickets, j and k move, x ticks. "?" opens the dialog #keys, which can switch the keys off. */
(() => {
  "use strict";
  const SWITCH = "ticketing-keys-off";
  const isOff = () => localStorage.getItem(SWITCH) === "1";
  const isTyping = (element) =>
    element.matches("textarea, select, [contenteditable], input:not([type=checkbox], [type=radio], [type=button])");

  document.documentElement.classList.add("scripted");

  const links = () => [...document.querySelectorAll("table.tickets tbody th a")];

  function move(step) {
    const all = links();
    if (!all.length) return;
    const row = document.activeElement.closest("tr");
    const at = all.findIndex((link) => row && row.contains(link));
    const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : Math.min(all.length - 1, Math.max(0, at + step));
    all[next].focus();
    all[next].scrollIntoView({ block: "nearest" });
  }

  function tick() {
    const row = document.activeElement.closest("tr");
    const box = row && row.querySelector("input[type=checkbox]");
    if (box) box.click();
  }

  function use(key) {
    const element = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (!element || !element.checkVisibility()) return false;
    if (element.matches("a, button")) element.click();
    else element.focus();
    return true;
  }

  function showKeys() {
    const dialog = document.getElementById("keys");
    if (dialog && !dialog.open) dialog.showModal();
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    if (event.key === "Escape" && event.target.id === "q") event.target.blur();
    if (isTyping(event.target) || document.querySelector("dialog[open]")) return;
    if (event.key === "?") showKeys();
    else if (isOff()) return;
    else if (event.key === "j") move(1);
    else if (event.key === "k") move(-1);
    else if (event.key === "x") tick();
    else if (!use(event.key)) return;
    event.preventDefault();
  });

  document.addEventListener("click", (event) => {
    if (event.target.closest("[data-closes]")) event.target.closest("dialog").close();
  });

  htmx.onLoad(() => {
    const box = document.getElementById("keys-off");
    if (!box || box.dataset.ready) return;
    box.dataset.ready = "1";
    box.checked = isOff();
    box.addEventListener("change", () => localStorage.setItem(SWITCH, box.checked ? "1" : "0"));
  });
})();
