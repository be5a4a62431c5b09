/* Shows changes by others on an open page. An element with data-news has the address of a request that is answered
   when there is something newer. Then the elements with data-live, which have ids, are replaced by those of the
   newest page, except while somebody types in them. With data-news-only-told a notice with a button appears instead. */
(() => {
  "use strict";
  const RETRY_MILLISECONDS = 5000;
  let waiting = null;

  // Whether somebody has changed the field. A list without a chosen option begins with its first one.
  function isChanged(field) {
    if (field.matches("select"))
      return field.selectedIndex !== Math.max(0, [...field.options].findLastIndex((option) => option.defaultSelected));
    return field.type === "checkbox" ? field.checked !== field.defaultChecked : field.value !== field.defaultValue;
  }

  const isInUse = (part) =>
    part.contains(document.activeElement) && document.activeElement.matches("input, textarea, select") ||
    [...part.querySelectorAll("input:not([type=hidden]), textarea, select")].some(isChanged);

  function tell(text, label, act) {
    const place = document.getElementById("news");
    if (!place) return;
    place.replaceChildren(Object.assign(document.createElement("span"), { textContent: text }));
    if (act) {
      const button = Object.assign(document.createElement("button"), { textContent: label, type: "button", className: "quiet small" });
      button.addEventListener("click", act);
      place.append(" ", button);
    }
    place.hidden = false;
  }

  const tellOfEnd = () =>
    tell("Your session has ended. What you typed is kept here. Sign in again in another tab, then send it.",
      "Sign in", () => open("/admin/sign-in", "_blank", "noopener"));

  async function newest() {
    const answer = await fetch(location.href, { redirect: "manual" });
    if (answer.type === "opaqueredirect") tellOfEnd();
    if (!answer.ok) return null;
    return new DOMParser().parseFromString(await answer.text(), "text/html");
  }

  async function showNewest() {
    const page = await newest();
    if (!page) return null;
    let hasChanged = false;
    for (const part of document.querySelectorAll("[data-live]")) {
      const fresh = page.getElementById(part.id);
      if (!fresh || isInUse(part) || fresh.innerHTML === part.innerHTML) continue;
      part.replaceWith(document.importNode(fresh, true));
      const shown = document.getElementById(part.id);
      htmx.process(shown);
      htmx.trigger(shown, "htmx:load");
      hasChanged = true;
    }
    if (hasChanged) tell("This page was updated with changes by others.");
    return page.querySelector("[data-news]");
  }

  async function follow(element) {
    const address = element.dataset.news;
    waiting = new AbortController();
    try {
      const answer = await fetch(address, { signal: waiting.signal, redirect: "manual" });
      if (answer.type === "opaqueredirect") return tellOfEnd();
      if (answer.status === 204) return follow(element);
      if (answer.status !== 200) throw new Error(String(answer.status));
      if ("newsOnlyTold" in element.dataset)
        return tell("The list has changed.", "Show the changes", () => location.reload());
      const next = await showNewest();
      if (next) {
        element.dataset.news = next.dataset.news;
        follow(element);
      }
    } catch (error) {
      if (error.name !== "AbortError") setTimeout(() => document.hidden || follow(element), RETRY_MILLISECONDS);
    }
  }

  function begin() {
    const element = document.querySelector("[data-news]");
    if (element && !document.hidden) follow(element);
  }

  document.addEventListener("visibilitychange", () => {
    if (waiting) waiting.abort();
    begin();
  });
  addEventListener("pagehide", () => waiting && waiting.abort());
  document.addEventListener("DOMContentLoaded", begin);
})();
