// Earlier captions, in this browser only: small copies of the pictures, and what was said of them.

import { copyButton } from "./elements.js";

const KEY = "captioner-history";
const MOST = 24;
const SIDE = 144;

function stored() {
  try {
    const found = JSON.parse(localStorage.getItem(KEY) ?? "[]");
    return Array.isArray(found) ? found : [];
  } catch {
    return [];
  }
}

function thumbnail(image) {
  if (!image.naturalWidth) return "";
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = SIDE;
  const side = Math.min(image.naturalWidth, image.naturalHeight);
  const [left, top] = [(image.naturalWidth - side) / 2, (image.naturalHeight - side) / 2];
  canvas.getContext("2d").drawImage(image, left, top, side, side, 0, 0, SIDE, SIDE);
  return canvas.toDataURL("image/jpeg", 0.7);
}

export function remember(file, result, image) {
  const several = [{ file, caption: result.caption, picture: thumbnail(image) }, ...stored()].slice(0, MOST);
  try {
    localStorage.setItem(KEY, JSON.stringify(several));
  } catch { // No room, or not allowed: then nothing is kept.
    return;
  }
  showEarlier();
}

export function forget() {
  localStorage.removeItem(KEY);
  showEarlier();
}

export function showEarlier() {
  const several = stored();
  document.getElementById("history").hidden = !several.length;
  document.getElementById("earlier").replaceChildren(...several.map((one) => {
    const item = document.createElement("li");
    const image = document.createElement("img");
    const text = document.createElement("p");
    image.alt = one.file;
    if (String(one.picture).startsWith("data:image/jpeg;base64,")) image.src = one.picture;
    text.textContent = one.caption;
    item.append(image, text, copyButton(one.caption));
    return item;
  }));
}
