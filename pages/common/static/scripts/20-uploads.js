/* Photos and files in forms: several at once, by choosing, dragging, pasting or with the camera of a phone; with small
   previews and a progress bar. A form with data-uploads="at-once" sends each file as soon as it is chosen. Nothing that
   was chosen is lost when the server refuses it or the session has ended. Without this script the forms are sent as
   usual. */
(function () {
  "use strict";

  const MOST_BYTES = 25 * 1024 * 1024;
  const FORMS = 'form[enctype="multipart/form-data"]';
  const INPUTS = `${FORMS} input[type=file]:not([capture])`;
  const SIGN_IN = "/admin/sign-in";
  const PREVIEWED = ["image/jpeg", "image/png", "image/webp", "image/gif"];
  const chosen = new WeakMap(); // the files of each input
  let queue = Promise.resolve(); // files that are sent at once go one after the other

  function make(name, properties, ...children) {
    const element = Object.assign(document.createElement(name), properties);
    element.append(...children);
    return element;
  }

  function size(bytes) {
    return bytes < 1e6 ? `${Math.ceil(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;
  }

  function newId() {
    const hex = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
  }

  function addressOf(form) {
    return form.getAttribute("action") || location.href;
  }

  function isAtOnce(form) {
    return form.dataset.uploads === "at-once";
  }

  // The list below an input, and the line that tells what happened.
  function listOf(input) {
    return input.closest(".field").querySelector("ul.chosen");
  }

  function say(form, ...content) {
    form.querySelector(".uploads-status").replaceChildren(...content);
  }

  function prepare(input) {
    if (listOf(input)) return;
    const field = input.closest(".field");
    const list = make("ul", { className: "chosen" });
    field.append(list, make("span", { className: "uploads-status hint", role: "status" }));
    field.classList.add("takes-files");
    if (isAtOnce(input.form)) input.form.querySelector("button:not([type=button])").hidden = true;
    if (window.matchMedia("(pointer: coarse)").matches) {
      const camera = make("input", { type: "file", accept: "image/*", hidden: true });
      camera.setAttribute("capture", "environment");
      camera.addEventListener("change", () => {
        add(input, camera.files);
        camera.value = "";
      });
      const button = make("button", { type: "button", className: "quiet small", textContent: "Take a photo" });
      button.addEventListener("click", () => camera.click());
      input.after(camera, button);
    }
    chosen.set(input, []);
    if (input.files.length) add(input, input.files); // the browser's back button
  }

  function add(input, files) {
    const known = chosen.get(input);
    const key = (file) => `${file.name}/${file.size}/${file.lastModified}`;
    const fresh = [...files].filter((file) => !known.some((one) => key(one) === key(file)));
    const large = fresh.filter((file) => file.size > MOST_BYTES);
    const fine = fresh.filter((file) => file.size <= MOST_BYTES);
    if (isAtOnce(input.form)) {
      input.value = "";
      for (const file of fine) sendAtOnce(input, file);
    } else {
      keep(input, [...known, ...fine]);
    }
    say(input.form, large.map((file) => `${file.name} is larger than 25 MB.`).join(" "));
  }

  function keep(input, files) {
    const transfer = new DataTransfer();
    for (const file of files) transfer.items.add(file);
    input.files = transfer.files;
    chosen.set(input, files);
    const rows = files.map((file) => {
      const remove = make("button", { type: "button", className: "quiet small", textContent: "Remove" });
      remove.setAttribute("aria-label", `Remove ${file.name}`);
      remove.addEventListener("click", () => {
        keep(input, chosen.get(input).filter((one) => one !== file));
        input.focus();
      });
      return row(file, remove);
    });
    listOf(input).replaceChildren(...rows);
  }

  function row(file, ...more) {
    const preview = make("img", { alt: "", width: 48, height: 48 });
    if (PREVIEWED.includes(file.type)) {
      preview.src = URL.createObjectURL(file);
      preview.addEventListener("load", () => URL.revokeObjectURL(preview.src), { once: true });
    }
    const name = make("span", { className: "name" }, file.name, " ", make("small", { textContent: size(file.size) }));
    return make("li", {}, preview, name, ...more);
  }

  // Send the form's fields; resolves with the page that answers.
  function post(address, data, progress) {
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", address);
      request.upload.addEventListener("progress", (event) => {
        if (event.lengthComputable) progress.value = event.loaded / event.total;
      });
      request.addEventListener("error", () => reject(new Error("The connection failed. Try again.")));
      request.addEventListener("load", () => {
        const page = parse(request.responseText);
        const isDone = request.status < 300 && !asksToSignIn(page);
        resolve({ page, isDone, isForbidden: request.status === 403, url: request.responseURL });
      });
      request.send(data);
    });
  }

  function parse(text) {
    return new DOMParser().parseFromString(text, "text/html");
  }

  function asksToSignIn(page) {
    return page.querySelector(`form[action="${SIGN_IN}"]`) !== null;
  }

  // Send, and once more if another session has begun in another tab, whose forms have another token.
  async function postWithToken(form, makeData, progress) {
    const answer = await post(addressOf(form), makeData(), progress);
    if (!answer.isForbidden) return answer;
    const page = parse(await (await fetch(location.href)).text());
    const token = page.querySelector("input[name=csrf_token]");
    if (!token || asksToSignIn(page)) return { ...answer, hasNoSession: true };
    for (const field of document.querySelectorAll("input[name=csrf_token]")) field.value = token.value;
    return post(addressOf(form), makeData(), progress);
  }

  function signInMessage() {
    const address = `${SIGN_IN}?next=${encodeURIComponent(location.pathname)}`;
    const link = make("a", { href: address, target: "_blank", rel: "opener", textContent: "Sign in in a new tab" });
    return ["Your session has ended. Your files are kept here. ", link, ", then come back and try again."];
  }

  function messageOf(page) {
    const found = [...page.querySelectorAll("main .error, main .complaint")].map((one) => one.textContent.trim());
    return found.join(" ") || "The server refused it. Open the page again.";
  }

  // `id` is that of the command: a file that is sent again is attached once.
  function sendAtOnce(input, file, id = newId()) {
    const progress = make("progress", { max: 1, value: 0, ariaLabel: `Progress of ${file.name}` });
    const job = { input, form: input.form, file, id, progress, shown: row(file, progress) };
    listOf(input).append(job.shown);
    queue = queue.then(() => sendFile(job));
  }

  async function sendFile(job) {
    const { form, file } = job;
    const makeData = () => {
      const data = new FormData();
      data.append("csrf_token", form.querySelector("input[name=csrf_token]").value);
      data.append("command_id", job.id);
      data.append(job.input.name, file);
      return data;
    };
    try {
      const answer = await postWithToken(form, makeData, job.progress);
      if (!answer.isDone) {
        showProblem(job, answer.hasNoSession ? signInMessage() : [messageOf(answer.page)]);
        return;
      }
      job.shown.remove();
      replaceParts(answer.page, form.dataset.replaces);
      say(form, `${file.name} is attached.`);
    } catch (error) {
      showProblem(job, [error.message]);
    }
  }

  function showProblem({ input, file, id, shown }, problem) {
    const again = make("button", { type: "button", className: "quiet small", textContent: "Try again" });
    const remove = make("button", { type: "button", className: "quiet small", textContent: "Remove" });
    const message = make("span", { className: "error", role: "alert" }, ...problem);
    shown.replaceChildren(...row(file, again, remove).childNodes, message);
    again.addEventListener("click", () => {
      shown.remove();
      sendAtOnce(input, file, id);
    });
    remove.addEventListener("click", () => shown.remove());
  }

  function replaceParts(page, ids) {
    for (const id of (ids || "").split(" ")) {
      const [now, then] = [document.getElementById(id), page.getElementById(id)];
      if (now && then) htmx.swap(now, then.outerHTML, { swapStyle: "outerHTML" });
    }
  }

  // Send a whole form that has files, and show the page that answers.
  async function sendForm(form, button) {
    const inputs = [...form.querySelectorAll("input[type=file]")].filter((input) => chosen.has(input));
    const progress = make("progress", { max: 1, value: 0, ariaLabel: "Progress" });
    const buttons = [...form.querySelectorAll("button")];
    const isStep = Boolean(button && button.name === "step");
    const makeData = () => {
      const data = new FormData(form);
      if (isStep) for (const input of inputs) data.delete(input.name); // the page comes back with the same form
      if (button && button.name) data.append(button.name, button.value);
      return data;
    };
    say(form, "Sending ", progress);
    for (const one of buttons) one.disabled = true;
    try {
      const answer = await postWithToken(form, makeData, progress);
      if (answer.hasNoSession) {
        say(form, ...signInMessage());
        return;
      }
      showPage({ ...answer, isDone: answer.isDone && !isStep }, addressOf(form), inputs);
    } catch (error) {
      say(form, error.message);
    } finally {
      for (const one of buttons) one.disabled = false;
    }
  }

  function showPage({ page, url, isDone }, address, inputs) {
    const files = inputs.map((input) => [input.name, chosen.get(input)]);
    htmx.swap("#content", page.querySelector("#content").outerHTML, { swapStyle: "outerHTML" });
    document.title = page.title;
    if (isDone && url !== location.href) history.pushState({}, "", url);
    const main = document.getElementById("content");
    if (!isDone) {
      const form = [...main.querySelectorAll(FORMS)].find((one) => addressOf(one) === address) || main.querySelector(FORMS);
      for (const [name, list] of files) {
        const input = form && form.querySelector(`input[type=file][name="${name}"]`);
        if (input) prepare(input), keep(input, list);
      }
    }
    const problem = isDone ? null : main.querySelector(".complaint, [aria-invalid=true]");
    (problem && problem.matches("input, select, textarea") ? problem : main).focus();
    if (isDone) window.scrollTo(0, 0);
    else if (problem) problem.scrollIntoView({ block: "center" });
  }

  // The file input for something that is dropped or pasted here.
  function inputNear(target) {
    const card = target instanceof Element && target.closest(".card");
    return (card && card.querySelector(INPUTS)) || null;
  }

  function hasFiles(event) {
    return event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  }

  function mark(card) {
    for (const one of document.querySelectorAll(".card.over")) if (one !== card) one.classList.remove("over");
    if (card) card.classList.add("over");
  }

  document.addEventListener("change", (event) => {
    if (event.target.matches(INPUTS)) add(event.target, [...event.target.files]);
  });
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault(); // also elsewhere: a file that is dropped beside the card must not replace the page
    const input = inputNear(event.target);
    event.dataTransfer.dropEffect = input ? "copy" : "none";
    mark(input && input.closest(".card"));
  });
  document.addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) mark(null);
  });
  document.addEventListener("drop", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    mark(null);
    const input = inputNear(event.target);
    if (input) add(input, event.dataTransfer.files);
  });
  document.addEventListener("paste", (event) => {
    const files = event.clipboardData ? [...event.clipboardData.files] : [];
    const input = inputNear(event.target) || document.querySelector(INPUTS);
    if (!files.length || !input) return;
    event.preventDefault();
    add(input, files);
    input.closest(".field").scrollIntoView({ block: "nearest" });
  });
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || !form.matches(FORMS)) return;
    const inputs = [...form.querySelectorAll("input[type=file]")];
    if (!inputs.some((input) => (chosen.get(input) || []).length)) return;
    event.preventDefault();
    sendForm(form, event.submitter);
  });
  window.addEventListener("beforeunload", (event) => {
    if (document.querySelector("ul.chosen progress")) event.preventDefault();
  });
  htmx.onLoad((root) => {
    for (const input of root.querySelectorAll(INPUTS)) prepare(input);
  });
})();
