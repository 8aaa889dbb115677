// What the page's parts share: elements, the lines that say what happens, and copying.

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in made) made[key] = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

export function say(text) {
  document.getElementById("status").textContent = text;
}

// For those who do not see the cards.
export function speak(text) {
  document.getElementById("spoken").textContent = text;
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // Over plain HTTP from another machine browsers have only the old way.
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.textContent = "Copied";
  say(`Copied: ${text}`);
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
}

export function copyButton(caption) {
  const button = element("button", { type: "button", className: "quiet", textContent: "Copy", ariaLabel: `Copy: ${caption}` });
  button.addEventListener("click", () => copy(caption, button));
  return button;
}
