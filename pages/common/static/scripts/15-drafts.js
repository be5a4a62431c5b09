/* Keeps what a person types in a form with data-draft until it is saved, so that it survives a reload, a crash of the
   browser and the end of the session. Drafts belong to the person named by data-person of the page; signing out
   removes them. A form that was sent keeps its draft until a page says that the action is done. */
(() => {
  "use strict";
  const PREFIX = "ticketing-draft:";
  const SENT = `${PREFIX}sent`;
  const person = () => document.body.dataset.person || "";
  const keyOf = (form) => `${PREFIX}${person()}:${form.dataset.draft}`;
  const fieldsOf = (form) => [...form.querySelectorAll("textarea, input[type=text], input:not([type])")].filter((field) => field.name);

  function keep(form) {
    const typed = {};
    for (const field of fieldsOf(form)) if (field.value !== field.defaultValue) typed[field.name] = field.value;
    if (Object.keys(typed).length) localStorage.setItem(keyOf(form), JSON.stringify(typed));
    else localStorage.removeItem(keyOf(form));
  }

  function restore(form) {
    if (form.dataset.restored) return;
    form.dataset.restored = "1";
    const typed = JSON.parse(localStorage.getItem(keyOf(form)) || "{}");
    let count = 0;
    for (const field of fieldsOf(form)) {
      if (field.name in typed && field.value === field.defaultValue && field.value !== typed[field.name]) {
        field.value = typed[field.name];
        count += 1;
      }
    }
    const note = form.querySelector(".draft-note");
    if (count && note) note.hidden = false;
  }

  document.addEventListener("input", (event) => {
    const form = event.target.form;
    if (form && form.dataset.draft && event.target.name) keep(form);
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.dataset.draft) sessionStorage.setItem(SENT, keyOf(form));
    if (form.matches(".sign-out"))
      for (const key of Object.keys(localStorage)) if (key.startsWith(PREFIX)) localStorage.removeItem(key);
  });

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-discards-draft]");
    if (!button) return;
    localStorage.removeItem(keyOf(button.form));
    for (const field of fieldsOf(button.form)) field.value = field.defaultValue;
    button.closest(".draft-note").hidden = true;
  });

  function forgetSent() {
    const sent = sessionStorage.getItem(SENT);
    if (sent && document.getElementById("done")) localStorage.removeItem(sent);
    sessionStorage.removeItem(SENT);
  }

  htmx.onLoad((root) => {
    if (root.matches("body, main")) forgetSent();
    document.querySelectorAll("form[data-draft]").forEach(restore);
  });
})();
