/* /docs: finding operations, copying examples, examples as tabs, and trying an operation with a key.
   The key stays in the sessionStorage of this tab and is sent to this site only. */
(function () {
  "use strict";

  const KEY = "docs-key";
  const LANGUAGE = "docs-language";
  const SHOWN_CHARACTERS = 100000;

  /* Returns a new element with these attributes and children. */
  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [attribute, value] of Object.entries(attributes)) element.setAttribute(attribute, value);
    element.append(...children);
    return element;
  }

  /* Storage may be switched off; then nothing is remembered. */
  function remembered(storage, name) {
    try { return window[storage].getItem(name) || ""; } catch { return ""; }
  }

  function remember(storage, name, value) {
    try {
      if (value) window[storage].setItem(name, value);
      else window[storage].removeItem(name);
    } catch { /* not remembered */ }
  }

  /* Finding */

  function prepareSearch() {
    const input = document.getElementById("search");
    const found = document.getElementById("found");
    const links = new Map(Array.from(document.querySelectorAll("nav a"), (link) => [link.hash.slice(1), link]));
    const parts = Array.from(document.querySelectorAll("main > section[id], article"), (part) => {
      const { method, path } = part.dataset;
      const text = part.textContent.toLowerCase();
      const name = `${method || ""} ${path || ""} ${part.id} ${part.querySelector("h2, h3").textContent}`.toLowerCase();
      return { part, link: links.get(part.id), isOperation: part.matches("article"), name, text };
    });
    const groups = document.querySelectorAll("nav .group, main > section:not([id])");

    /* The parts with words that begin so in their names or, if no operation has them there, in their texts. */
    function find(words) {
      const beginnings = words.map((word) => new RegExp(`(?<![a-z0-9])${word.replace(/[^\w\s]/g, "\\$&")}`));
      const having = (field) => parts.filter((part) => beginnings.every((beginning) => beginning.test(part[field])));
      const named = having("name");
      return new Set(named.some(({ isOperation }) => isOperation) ? named : having("text"));
    }

    function filter() {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      const shown = find(words);
      let count = 0;
      for (const each of parts) {
        const { part, link, isOperation } = each;
        const matches = shown.has(each);
        part.hidden = !matches;
        if (link) link.hidden = !matches;
        if (matches && isOperation) count += 1;
      }
      for (const group of groups) group.hidden = !group.querySelector(":scope > :is(a, article):not([hidden])");
      found.textContent = words.length ? `${count} ${count === 1 ? "operation" : "operations"}` : "";
    }

    input.addEventListener("input", filter);
    input.addEventListener("keydown", (event) => {
      const first = event.key === "Enter" && parts.find(({ part, isOperation }) => isOperation && !part.hidden);
      if (first) location.hash = first.part.id;
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || event.target.closest("input, textarea")) return;
      event.preventDefault();
      input.focus();
    });
    input.closest(".search").hidden = false;
    if (input.value) filter();
  }

  /* Copying */

  async function copy(text) {
    if (navigator.clipboard) return navigator.clipboard.writeText(text);
    const area = make("textarea", { class: "unseen" }, text); // without TLS there is no clipboard object
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }

  function addCopyButton(pre) {
    const button = make("button", { type: "button", class: "copy" }, "Copy");
    const box = make("div", { class: "copied" });
    pre.replaceWith(box);
    box.append(pre, button);
  }

  async function onCopy(button) {
    const text = button.parentElement.querySelector("pre").textContent;
    let word = "Copied";
    try { await copy(text); } catch { word = "Not copied"; }
    button.textContent = word;
    document.getElementById("said").textContent = word;
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  }

  /* Examples as tabs */

  function makeTabs(examples, number) {
    const list = make("div", { class: "tabs", role: "tablist", "aria-label": "Language" });
    for (const details of examples.querySelectorAll("details")) {
      const language = details.querySelector("summary").textContent;
      const id = `example-${number}-${language.toLowerCase()}`;
      const panel = make("div", { id, role: "tabpanel", "aria-labelledby": `${id}-tab` });
      panel.append(details.querySelector("pre"));
      details.replaceWith(panel);
      const tab = { type: "button", role: "tab", id: `${id}-tab`, "aria-controls": id, "data-language": language };
      list.append(make("button", tab, language));
    }
    examples.prepend(list);
  }

  function chooseLanguage(language) {
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const isChosen = tab.dataset.language === language;
      tab.setAttribute("aria-selected", isChosen);
      tab.tabIndex = isChosen ? 0 : -1;
      document.getElementById(tab.getAttribute("aria-controls")).hidden = !isChosen;
    }
  }

  /* Shows the language everywhere, and keeps the tab where it is on the screen. */
  function onTab(tab) {
    const top = tab.getBoundingClientRect().top;
    chooseLanguage(tab.dataset.language);
    remember("localStorage", LANGUAGE, tab.dataset.language);
    window.scrollBy({ top: tab.getBoundingClientRect().top - top, behavior: "instant" });
    tab.focus({ preventScroll: true });
  }

  function onTabKey(event) {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const tabs = Array.from(event.target.parentElement.children);
    event.preventDefault();
    onTab(tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length]);
  }

  /* Trying an operation */

  function field(id, label, input, hint) {
    input.id = id;
    const box = make("div", { class: "field" }, make("label", { for: id }, label), input);
    if (hint) {
      box.append(make("p", { class: "hint", id: `${id}-hint` }, hint));
      input.setAttribute("aria-describedby", `${id}-hint`);
    }
    return box;
  }

  function makeForm(article) {
    const { method, path, mediaType } = article.dataset;
    const isWrite = method !== "GET";
    const id = article.id;
    const form = make("form", { class: isWrite ? "try writes" : "try", "aria-label": `Try: ${method} ${path}` });
    if (isWrite) form.append(make("p", { class: "warning" }, "This request changes data on this server."));
    if ("needsKey" in article.dataset) {
      const input = make("input", { name: "key", type: "password", autocomplete: "off", spellcheck: "false" });
      input.value = remembered("sessionStorage", KEY);
      form.append(field(`${id}-key`, "API key", input,
        "Stays in this tab until you close it, and is sent to this site only."));
    }
    for (const [, name] of path.matchAll(/\{(\w+)\}/g)) {
      form.append(field(`${id}-path-${name}`, name, make("input", { "data-path": name, required: "", autocomplete: "off" })));
    }
    if (method === "GET") {
      form.append(field(`${id}-query`, "Query", make("input", { name: "query", autocomplete: "off", spellcheck: "false" }),
        "Parameters, such as name=value&other=value."));
    }
    if (mediaType === "application/json") {
      const example = article.querySelector("pre.body-example");
      form.append(field(`${id}-body`, "Body", make("textarea", { name: "body", rows: 8, spellcheck: "false" },
        example ? example.textContent : "{}")));
    } else if (mediaType) {
      form.append(field(`${id}-file`, "File", make("input", { name: "file", type: "file", required: "" })));
    }
    form.append(make("div", { class: "buttons" },
      make("button", { class: isWrite ? "main writes" : "main" }, isWrite ? `Send ${method}: changes data` : "Send"),
      make("button", { type: "button", class: "forget" }, "Forget the key"),
      make("button", { type: "button", class: "close" }, "Close")));
    if (!("needsKey" in article.dataset)) form.querySelector(".forget").remove();
    form.append(make("div", { class: "answer" }));
    return form;
  }

  function requestOf(article, form) {
    const { method, mediaType } = article.dataset;
    let path = article.dataset.path;
    for (const input of form.querySelectorAll("[data-path]")) {
      path = path.replace(`{${input.dataset.path}}`, encodeURIComponent(input.value.trim()));
    }
    const query = form.elements.query ? form.elements.query.value.trim().replace(/^\?/, "") : "";
    const headers = {};
    const key = form.elements.key ? form.elements.key.value.trim() : "";
    if (key) headers.Authorization = `Bearer ${key}`;
    let body;
    if (mediaType === "application/json") {
      headers["Content-Type"] = mediaType;
      body = form.elements.body.value;
    } else if (mediaType) {
      body = new FormData();
      body.append("file", form.elements.file.files[0]);
    }
    headers.Accept = "application/json, */*;q=0.5";
    const address = new URL(path + (query ? `?${query}` : ""), location.origin);
    if (address.origin !== location.origin) throw new Error("The address is not of this site.");
    return [address, { method, headers, body, credentials: "omit", cache: "no-store", referrerPolicy: "no-referrer" }];
  }

  function formatted(text, type) {
    let shown = text;
    if (type.includes("json")) {
      try { shown = JSON.stringify(JSON.parse(text), null, 2); } catch { /* several documents, or cut */ }
    }
    if (shown.length <= SHOWN_CHARACTERS) return shown;
    return `${shown.slice(0, SHOWN_CHARACTERS)}\n… ${shown.length - SHOWN_CHARACTERS} more characters`;
  }

  function showAnswer(place, answer, text, milliseconds) {
    const headers = Array.from(answer.headers, ([name, value]) => `${name}: ${value}`).join("\n");
    const status = `${answer.status} ${answer.statusText}`.trim();
    const body = make("pre", { tabindex: "0" }, make("code", {}, formatted(text, answer.headers.get("Content-Type") || "")));
    place.replaceChildren(
      make("p", { role: "status" }, make("strong", {}, status), ` in ${milliseconds} ms`),
      make("details", {}, make("summary", {}, "Headers"), make("pre", { tabindex: "0" }, make("code", {}, headers))));
    if (!text) return;
    place.append(body);
    addCopyButton(body);
  }

  async function send(article, form) {
    const place = form.querySelector(".answer");
    const button = form.querySelector("button.main");
    const start = performance.now();
    button.disabled = true;
    place.replaceChildren(make("p", { role: "status" }, "Sending …"));
    try {
      const answer = await fetch(...requestOf(article, form));
      showAnswer(place, answer, await answer.text(), Math.round(performance.now() - start));
    } catch (error) {
      place.replaceChildren(make("p", { role: "alert", class: "warning" }, `There is no answer. ${error.message}`));
    } finally {
      button.disabled = false;
    }
  }

  function open(button) {
    const article = button.closest("article");
    const form = makeForm(article);
    button.hidden = true;
    button.after(form);
    form.addEventListener("submit", (event) => { event.preventDefault(); send(article, form); });
    form.querySelector("input, textarea, button").focus();
  }

  function close(form) {
    const button = form.parentElement.querySelector("button.open");
    form.remove();
    button.hidden = false;
    button.focus();
  }

  function setKey(key) {
    remember("sessionStorage", KEY, key);
    for (const input of document.querySelectorAll("form.try input[name=key]")) input.value = key;
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.matches(".copy")) onCopy(button);
    else if (button.matches("[role=tab]")) onTab(button);
    else if (button.matches(".open")) open(button);
    else if (button.matches(".forget")) setKey("");
    else if (button.matches(".close")) close(button.closest("form"));
  });
  document.addEventListener("keydown", (event) => { if (event.target.matches("[role=tab]")) onTabKey(event); });
  document.addEventListener("input", (event) => {
    if (event.target.matches("form.try input[name=key]")) setKey(event.target.value.trim());
  });

  prepareSearch();
  document.querySelectorAll(".examples").forEach(makeTabs);
  document.querySelectorAll("main pre").forEach(addCopyButton);
  const languages = Array.from(document.querySelectorAll("[role=tab]"), (tab) => tab.dataset.language);
  const chosen = remembered("localStorage", LANGUAGE);
  chooseLanguage(languages.includes(chosen) ? chosen : languages[0]);
  for (const article of document.querySelectorAll("article")) {
    const label = article.querySelector("h3").textContent;
    article.append(make("button", { type: "button", class: "open", "aria-label": `Try it: ${label}` }, "Try it"));
  }
  document.body.append(make("p", { id: "said", class: "unseen", role: "status" }));
  if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
})();
