// The page at work: takes pictures, asks for captions, and shows them.

import { copyButton, element, say, speak } from "./elements.js";
import { forget, remember, showEarlier } from "./history.js";
import { clearLook, drawLook, placeOf } from "./look.js";

const AT_ONCE = 3; // Requests; the rest wait here, not at the server.
const TRIES = 20;

const byId = (id) => document.getElementById(id);
const queue = [];
const count = { asked: 0, done: 0, failed: 0 };
const meant = new Set();
let running = 0;
let model = null;
let token = sessionStorage.getItem("captioner-token") ?? "";

// The server

function ask(path, options = {}) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return fetch(path, { ...options, headers });
}

const pause = (seconds) => new Promise((resolve) => { setTimeout(resolve, 1000 * seconds); });

async function meet() {
  const answer = await ask("v1/model").catch(() => null);
  if (answer?.ok) {
    model = await answer.json();
    byId("model").textContent = `${model.encoder.backbone}, ${model.decoder.type}, ${model.vocabulary.words.toLocaleString("en")} words`;
    work();
  } else if (answer?.status === 401) {
    byId("locked").hidden = false;
    byId("model").textContent = "Locked";
  } else {
    byId("model").textContent = answer ? "The model is being loaded …" : "The server does not answer …";
    await pause(1);
    await meet();
  }
}

function chosen() {
  const own = model.sampling.method;
  return byId("method").value || (own === "greedy" && byId("number").value > 1 ? "beam" : own);
}

function question(method) {
  const query = new URLSearchParams({ captions: byId("number").value });
  if (method !== model.sampling.method) query.set("method", method);
  if (byId("method").value === "sample") {
    query.set("top_p", "0.9");
    query.set("seed", String(Math.floor(Math.random() * 2 ** 31)));
  }
  if (model.serving.attention) query.set("attention", "true");
  return `v1/captions?${query}`;
}

async function caption(file) {
  const method = chosen();
  for (let tried = 1; ; tried += 1) {
    const body = new FormData();
    body.append("picture", file, file.name);
    let answer;
    try {
      answer = await ask(question(method), { method: "POST", body });
    } catch {
      return { error: "the server does not answer", again: true };
    }
    if ([429, 503].includes(answer.status) && tried < TRIES) {
      await pause(Number(answer.headers.get("Retry-After") ?? 1));
      continue;
    }
    const found = await answer.json().catch(() => ({ detail: `the server answers ${answer.status}` }));
    if (answer.ok) return { ...found.results[0], sure: model.serving.confidence[method] };
    return { error: found.results?.[0].error || found.detail, again: answer.status !== 422 };
  }
}

// Cards

function words(caption, card) {
  const sentence = element("p", { className: "sentence" });
  const shown = caption.caption.split(" ");
  if (!caption.attention || shown.length !== caption.words.length) {
    sentence.textContent = caption.caption;
    return sentence;
  }
  sentence.setAttribute("role", "toolbar");
  sentence.setAttribute("aria-label", `${caption.caption}. Each word shows where the model looked`);
  const buttons = shown.map((text, number) => {
    const button = element("button", { type: "button", className: "word", textContent: text, ariaPressed: "false" });
    button.tabIndex = number ? -1 : 0;
    const look = () => card.look(caption.attention, number, text);
    button.addEventListener("pointerenter", look);
    button.addEventListener("focus", look);
    button.addEventListener("pointerleave", () => card.rest());
    button.addEventListener("blur", () => card.rest());
    button.addEventListener("click", () => card.pin(button, look));
    return button;
  });
  sentence.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -Infinity, End: Infinity }[event.key];
    if (!step) return;
    const at = buttons.indexOf(event.target);
    const next = buttons[Math.min(buttons.length - 1, Math.max(0, at + step))];
    buttons.forEach((button) => { button.tabIndex = button === next ? 0 : -1; });
    next.focus();
    event.preventDefault();
  });
  buttons.forEach((button, number) => sentence.append(...(number ? [" "] : []), button));
  return sentence;
}

function measure(caption, sure) {
  const figure = sure.probability ? `${Math.round(100 * caption.confidence)} %` : caption.confidence.toFixed(2);
  const meter = element("meter", { min: 0, max: 1, value: caption.confidence, ariaLabel: `Confidence ${figure}` });
  return element("div", { className: "measure" }, meter, element("span", { textContent: `confidence ${figure}` }), copyButton(caption.caption));
}

function explain(sure) {
  meant.add(sure.means);
  byId("sure").textContent = [...meant].join(" ");
  byId("sure").hidden = false;
}

class Card {
  constructor(file) {
    this.file = file;
    this.article = byId("card").content.cloneNode(true).firstElementChild;
    [this.image, this.canvas, this.busy, this.said] = ["img", "canvas", ".busy", ".said"].map((name) => this.article.querySelector(name));
    this.where = element("p", { className: "where" });
    this.pinned = null;
    this.article.querySelector("figcaption").textContent = file.name;
    this.article.setAttribute("aria-label", file.name);
    this.image.alt = `The picture ${file.name}`;
    this.image.addEventListener("error", () => {
      this.image.hidden = true;
      this.article.querySelector(".blank").hidden = false;
    });
    this.image.src = URL.createObjectURL(file);
    this.said.append(element("p", { className: "hint", textContent: "Waiting …" }));
  }

  show(result) {
    this.busy.remove();
    if (result.error) {
      this.said.replaceChildren(element("p", { className: "error", textContent: `No caption: ${result.error}.` }));
      if (!result.again) return;
      const again = element("button", { type: "button", className: "quiet", textContent: "Try again" });
      again.addEventListener("click", () => { this.said.replaceChildren(); add([this]); });
      this.said.append(element("p", {}, again));
      return;
    }
    explain(result.sure);
    this.said.replaceChildren(words(result, this), measure(result, result.sure));
    if (result.attention) this.said.append(this.where);
    this.rest();
    if (result.alternatives.length) {
      const items = result.alternatives.map((one) => element("li", { className: "alternative" }, words(one, this), measure(one, result.sure)));
      this.said.append(element("ul", { className: "alternatives", ariaLabel: "Alternatives" }, ...items));
    }
  }

  look(attention, number, word) {
    drawLook(this.canvas, this.image, attention, number);
    this.where.textContent = `“${word}”: ${placeOf(attention, number)}`;
  }

  rest() {
    if (this.pinned) {
      this.pinned.look();
      return;
    }
    clearLook(this.canvas);
    this.where.textContent = "Point at a word to see where the model looked.";
  }

  pin(button, look) {
    const same = this.pinned?.button === button;
    this.pinned?.button.setAttribute("aria-pressed", "false");
    this.pinned = same ? null : { button, look };
    button.setAttribute("aria-pressed", String(!same));
    if (same) this.rest();
    else look();
  }
}

// From pictures to cards

function add(cards) {
  if (count.done === count.asked) Object.assign(count, { asked: 0, done: 0, failed: 0 });
  count.asked += cards.length;
  tell();
  for (const card of cards) {
    queue.push(card);
    work();
  }
}

function tell() {
  const { asked, done, failed } = count;
  const told = [`Captioned ${done - failed} of ${asked}`, ...(failed ? [`${failed} failed`] : [])].join("; ");
  say(done < asked ? `${told} …` : `${told}.`);
}

function take(files) {
  const pictures = [...files].filter((file) => file.type.startsWith("image/") || /\.(heic|heif|avif|tiff?)$/i.test(file.name));
  if (!pictures.length) {
    say("That is not a picture.");
    return;
  }
  const cards = pictures.map((file) => new Card(file));
  byId("results").prepend(...cards.map((card) => card.article));
  add(cards);
}

async function work() {
  if (!model || running >= AT_ONCE || !queue.length) return;
  const card = queue.shift();
  running += 1;
  const result = await caption(card.file);
  running -= 1;
  card.show(result);
  count.done += 1;
  count.failed += Boolean(result.error);
  tell();
  speak(`${card.file.name}: ${result.error ? `no caption, ${result.error}` : result.caption}`);
  if (!result.error) remember(card.file.name, result, card.image);
  work();
}

byId("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = "";
});
document.addEventListener("paste", (event) => {
  if (event.clipboardData.files.length) take(event.clipboardData.files);
});
for (const name of ["dragenter", "dragover"]) {
  document.addEventListener(name, (event) => {
    event.preventDefault();
    byId("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) byId("drop").classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  byId("drop").classList.remove("over");
  take(event.dataTransfer.files);
});
byId("ask").addEventListener("submit", (event) => event.preventDefault());
byId("locked").addEventListener("submit", (event) => {
  event.preventDefault();
  token = byId("token").value;
  sessionStorage.setItem("captioner-token", token);
  byId("locked").hidden = true;
  meet();
});
byId("clear").addEventListener("click", () => {
  forget();
  say("Cleared.");
  byId("files").focus();
});

showEarlier();
meet();
