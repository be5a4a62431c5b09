/* The list of tickets: results while one types, a bar for the ticked tickets, and the way back to the same place. */
(() => {
  "use strict";
  const PLACE = "ticketing-list";
  const form = () => document.getElementById("several");
  const boxes = () => [...document.querySelectorAll("input[name=ticket_id]")];

  // Empty filters are not sent, so that the address of the page stays short.
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.target.id !== "filters") return;
    const given = event.detail.formData;
    for (const [name, value] of [...given.entries()]) if (!String(value).trim()) given.delete(name);
  });

  document.addEventListener("htmx:afterSettle", (event) => {
    const count = document.querySelector("#results .pager .soft");
    const status = document.getElementById("announced");
    if (event.target.id === "results" && status) status.textContent = count ? count.textContent : "No tickets found";
    showBar();
  });

  // Enter would load the page again, with results that are shown already.
  document.addEventListener("submit", (event) => {
    if (event.target.id === "filters") event.preventDefault();
  });

  function showBar() {
    const bar = form();
    if (!bar) return;
    const ticked = boxes().filter((box) => box.checked).length;
    const all = bar.elements.all;
    bar.classList.toggle("in-use", ticked > 0 || all.checked);
    const label = bar.querySelector(".chosen span");
    label.dataset.all = label.dataset.all || label.textContent;
    label.textContent = ticked && !all.checked ? `${label.dataset.all} · ${ticked} chosen` : label.dataset.all;
    const head = document.getElementById("choose-all");
    if (head) {
      head.checked = ticked > 0 && ticked === boxes().length;
      head.indeterminate = ticked > 0 && !head.checked;
    }
  }

  document.addEventListener("change", (event) => {
    const { target } = event;
    const isAll = target.id === "choose-all" || (target.name === "all" && target.form === form());
    if (isAll) boxes().forEach((box) => { box.checked = target.checked; });
    if (form() && (isAll || target.name === "ticket_id")) {
      form().elements.all.checked = isAll && target.checked;
      showBar();
    }
  });

  // The first heading gets a box that ticks the whole page.
  function addBoxForAll() {
    const cell = document.querySelector("#results table.tickets thead .box");
    if (!cell || cell.querySelector("input")) return;
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", id: "choose-all" });
    box.setAttribute("aria-label", "Choose all tickets on this page");
    label.append(box);
    cell.replaceChildren(label);
  }

  // The link from a ticket to "Tickets" leads back to the list as it was left, at the same place.
  function keepPlace() {
    if (location.pathname === "/admin/tickets")
      sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname + location.search, y: scrollY }));
  }

  function linkBack() {
    const place = JSON.parse(sessionStorage.getItem(PLACE) || "null");
    const link = document.querySelector('.crumb a[href="/admin/tickets"]');
    if (place && link) {
      link.href = place.path;
      link.addEventListener("click", () => sessionStorage.setItem(`${PLACE}-return`, "1"));
    }
    if (place && location.pathname + location.search === place.path && sessionStorage.getItem(`${PLACE}-return`))
      scrollTo({ top: place.y, behavior: "instant" });
    if (location.pathname === "/admin/tickets") sessionStorage.removeItem(`${PLACE}-return`);
  }

  addEventListener("pagehide", keepPlace);
  document.addEventListener("DOMContentLoaded", linkBack);
  htmx.onLoad(() => {
    addBoxForAll();
    showBar();
  });
})();
