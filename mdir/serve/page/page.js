"use strict";

const by = (id) => document.getElementById(id);
const make = (tag, className = "", text = "") => {
  const one = document.createElement(tag);
  one.className = className;
  one.textContent = text;
  return one;
};

// What is looked for: a file or the id of an image of the index, a part of it, its condition.
let query = null;
let about = { conditions: [], translations: [], images: 0 };
let asked = 0;
const trail = [];

async function ask(address, form) {
  let answer;
  try {
    answer = await fetch(address, form ? { method: "POST", body: form } : {});
  } catch {
    throw new Error("The server does not answer.");
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ? sentence(told.error) : `The server answers ${answer.status}.`);
  }
  return answer;
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1)}${text.endsWith(".") ? "" : "."}`;

function say(text, isBad = false) {
  by("message").textContent = text;
  by("message").classList.toggle("bad", isBad);
}

function form(fields) {
  const made = new FormData();
  for (const [key, value] of Object.entries(fields)) {
    if (value !== null && value !== undefined && value !== "") made.append(key, value);
  }
  return made;
}

// The name of a file tells the server nothing it needs.
const source = () => query.file
  ? { image: new File([query.file], "picture") } : { id: String(query.id) };

async function refresh() {
  about = await (await ask("/health")).json();
  const many = `${about.images.toLocaleString("en")} image${about.images === 1 ? "" : "s"}`;
  by("about").textContent = `${many}, ${about.dimensions} dimensions, ${about.engine} search`;
  const chosen = by("condition").value;
  by("condition").replaceChildren(new Option("not told", ""),
    ...about.conditions.map((name) => new Option(name, name)));
  by("condition").value = about.conditions.includes(chosen) ? chosen : "";
  by("conditions").replaceChildren(...about.conditions.map((name) => new Option(name)));
  if (!about.images) say("The index is empty: add pictures, then they can be found.");
  allowOthers();
}

function allowOthers() {
  const condition = by("condition").value;
  const others = about.conditions.filter((name) => name !== condition);
  by("others").disabled = !condition || !others.length;
  by("others").parentElement.title = by("others").disabled
    ? "Tell first by what conditions the picture was taken" : `Only ${others.join(", ")}`;
  return by("others").checked && !by("others").disabled ? others : null;
}

function show(next, remember = true) {
  if (remember && query) trail.push(query);
  query = next;
  by("back").hidden = !trail.length;
  by("drop").hidden = true;
  for (const id of ["frame", "tools", "hint"]) by(id).hidden = false;
  by("adding").hidden = !query.file;
  by("adding").open = false;
  by("add").reset();
  URL.revokeObjectURL(by("picture").dataset.url);
  by("picture").dataset.url = query.file ? URL.createObjectURL(query.file) : "";
  by("picture").src = query.file ? by("picture").dataset.url : `/image/${query.id}?size=large`;
  by("condition").value = about.conditions.includes(query.condition) ? query.condition : "";
  draw();
  translate();
  return search();
}

function draw() {
  const box = query.box;
  by("box").hidden = by("unbox").hidden = !box;
  if (!box) return;
  const [left, top, right, bottom] = box.map((value) => 100 * value);
  Object.assign(by("box").style, { left: `${left}%`, top: `${top}%`,
    width: `${right - left}%`, height: `${bottom - top}%` });
}

async function search() {
  const others = allowOthers();
  if (!query) return;
  const own = ++asked, start = performance.now();
  by("found").classList.add("busy");
  say("Searching…");
  try {
    const fields = { ...source(), k: by("count").value,
      box: query.box && JSON.stringify(query.box),
      filter: others && JSON.stringify({ condition: others }) };
    const told = await (await ask("/search", form(fields))).json();
    if (own !== asked) return;
    list(told.results);
    const seconds = ((performance.now() - start) / 1000).toFixed(2);
    const limits = others ? `, by ${others.join(", ")} only` : "";
    say(told.results.length ? `The most similar first${limits}. ${seconds} s` : "Nothing was found.");
  } catch (error) {
    if (own !== asked) return;
    list([]);
    say(error.message, true);
  }
  by("found").classList.remove("busy");
}

function list(results) {
  by("results").replaceChildren(...results.map((one, index) => {
    const item = make("li"), button = make("button"), thumb = make("span", "thumb");
    const image = make("img"), told = make("span", "told"), head = make("span", "head");
    button.type = "button";
    button.title = `Search with ${one.name}`;
    image.alt = one.name;
    image.loading = "lazy";
    image.addEventListener("error", () => {
      thumb.replaceChildren("its file is gone or cannot be read");
    });
    image.src = `/image/${one.id}?size=small`;
    thumb.append(image);
    const score = make("span", "score", one.score.toFixed(3));
    score.prepend(make("span", "rank", `${index + 1}. `));
    head.append(score);
    if (one.condition) {
      const known = ["day", "night"].includes(one.condition) ? ` ${one.condition}` : "";
      head.append(make("span", `badge${known}`, one.condition));
    }
    told.append(head, make("span", "place", one.place || one.date || ""),
      make("span", "name", one.name));
    button.append(thumb, told);
    button.addEventListener("click", () => {
      show({ id: one.id, condition: one.condition });
      if (innerWidth <= 820) scrollTo({ top: 0, behavior: "smooth" });
    });
    item.append(button);
    return item;
  }));
}

async function translate() {
  const own = query, others = about.translations.filter((name) => name !== own.condition);
  by("translations").hidden = !others.length;
  by("translations").replaceChildren();
  for (const name of others) {
    const figure = make("figure"), button = make("button"), image = make("img");
    const caption = make("figcaption", "", `as ${name}: …`);
    image.alt = `The picture translated to ${name}`;
    figure.append(button, caption);
    by("translations").append(figure);
    try {
      const answer = await ask("/translate", form({ ...source(), to: name }));
      if (query !== own) return;
      const file = await answer.blob();
      image.src = URL.createObjectURL(file);
      image.addEventListener("load", () => URL.revokeObjectURL(image.src), { once: true });
      button.append(image);
      caption.textContent = `as ${name}: search with it`;
      button.addEventListener("click", () => show({ file, condition: name }));
    } catch (error) {
      caption.textContent = error.message;
    }
  }
}

const choose = (file) => file && show({ file });

by("file").addEventListener("change", (event) => {
  choose(event.target.files[0]);
  event.target.value = "";
});
by("other").addEventListener("click", () => by("file").click());
by("unbox").addEventListener("click", () => { query.box = null; draw(); search(); });
by("back").addEventListener("click", () => show(trail.pop(), false));
for (const id of ["others", "count"]) by(id).addEventListener("change", search);
by("condition").addEventListener("change", () => {
  if (query) query.condition = by("condition").value;
  allowOthers();
  if (by("others").checked) search();
});
by("picture").addEventListener("error", () => { by("frame").hidden = true; by("hint").hidden = true; });

addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  choose(event.dataTransfer.files[0]);
});
addEventListener("paste", (event) => choose(event.clipboardData.files[0]));

// A box is drawn by dragging; a click without one takes it away.
let start = null;
function place(event) {
  const frame = by("frame").getBoundingClientRect();
  const within = (value) => Math.min(1, Math.max(0, value));
  return [within((event.clientX - frame.left) / frame.width),
    within((event.clientY - frame.top) / frame.height)];
}
by("frame").addEventListener("pointerdown", (event) => {
  start = place(event);
  by("frame").setPointerCapture(event.pointerId);
});
by("frame").addEventListener("pointermove", (event) => {
  if (!start) return;
  const end = place(event);
  const box = [0, 1].map((axis) => Math.min(start[axis], end[axis]));
  box.push(...[0, 1].map((axis) => Math.max(start[axis], end[axis])));
  query.box = box[2] - box[0] > 0.02 && box[3] - box[1] > 0.02 ? box : null;
  draw();
});
for (const name of ["pointerup", "pointercancel"]) {
  by("frame").addEventListener(name, () => { if (start) { start = null; search(); } });
}

by("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.target.querySelector("button");
  button.disabled = true;
  try {
    const fields = Object.fromEntries(new FormData(event.target));
    const told = await (await ask("/images", form({ ...source(), ...fields }))).json();
    await refresh();
    by("adding").open = false;
    say(`Added as image ${told.id}; it is found from now on.`);
  } catch (error) {
    say(error.message, true);
  }
  button.disabled = false;
});

refresh().catch((error) => say(error.message, true));
