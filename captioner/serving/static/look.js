// Where the model looked for a word: a veil over the picture, thin where much of the attention is.

const DARK = [18, 18, 48];
const WARM = [255, 190, 80];
const VEIL = 0.82;
const GLOW = 0.1;

// The part of an image element that its picture fills, in pixels of the page: object-fit leaves margins.
function placed(image) {
  const scale = Math.min(image.clientWidth / image.naturalWidth, image.clientHeight / image.naturalHeight);
  const [width, height] = [image.naturalWidth * scale, image.naturalHeight * scale];
  return { left: (image.clientWidth - width) / 2, top: (image.clientHeight - height) / 2, width, height };
}

export function drawLook(canvas, image, attention, number) {
  if (!image.naturalWidth) return;
  const weights = attention.weights[number];
  const [least, most] = [Math.min(...weights), Math.max(...weights)];
  const small = document.createElement("canvas");
  [small.width, small.height] = [attention.columns, attention.rows];
  const pixels = new ImageData(attention.columns, attention.rows);
  weights.forEach((weight, cell) => {
    const share = (weight - least) / (most - least || 1);
    const colour = DARK.map((dark, channel) => dark + share * (WARM[channel] - dark));
    pixels.data.set([...colour, 255 * (VEIL + share * (GLOW - VEIL))], 4 * cell);
  });
  small.getContext("2d").putImageData(pixels, 0, 0);

  const scale = window.devicePixelRatio || 1;
  [canvas.width, canvas.height] = [image.clientWidth * scale, image.clientHeight * scale];
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const whole = placed(image);
  const { seen } = attention;
  const box = [whole.left + seen.left * whole.width, whole.top + seen.top * whole.height, seen.width * whole.width, seen.height * whole.height];
  context.fillStyle = `rgb(${DARK.join(" ")} / ${VEIL})`;
  context.fillRect(whole.left, whole.top, whole.width, whole.height);
  context.clearRect(...box);
  context.imageSmoothingQuality = "high";
  context.drawImage(small, ...box);
  canvas.classList.add("shown");
}

export function clearLook(canvas) {
  canvas.classList.remove("shown");
}

// For those who do not see the veil: the middle of the attention, in words.
export function placeOf(attention, number) {
  const { rows, columns } = attention;
  let [x, y] = [0, 0];
  attention.weights[number].forEach((weight, cell) => {
    x += weight * ((cell % columns) + 0.5) / columns;
    y += weight * (Math.floor(cell / columns) + 0.5) / rows;
  });
  const across = x < 0.42 ? "left" : x > 0.58 ? "right" : "";
  const down = y < 0.42 ? "upper" : y > 0.58 ? "lower" : "";
  if (!across && !down) return "around the middle";
  if (!across) return down === "upper" ? "mostly above the middle" : "mostly below the middle";
  return `mostly on the ${down ? `${down} ` : ""}${across}`;
}
