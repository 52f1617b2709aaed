"use strict";
// What is alive at the step that is pointed at, or chosen with the slider and so with the keyboard.
for (const [index, figure] of document.querySelectorAll(".timeline").entries()) {
  const { steps, pair, stages, bands } = JSON.parse(document.getElementById("timelines").textContent)[index];
  const [canvas, moment, contents] = [".canvas", ".moment", ".contents"].map((name) => figure.querySelector(name));
  const slider = moment.querySelector("input");
  const cursor = document.createElement("div");
  cursor.className = "cursor";

  const format = (bytes) => {
    const [unit, scale] = [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]].find(([, size]) => bytes >= size) ?? ["B", 1];
    return `${scale > 1 ? (bytes / scale).toFixed(2) : bytes} ${unit}`;
  };
  const sized = (bytes) => (pair ? `${format(bytes)} (${(bytes / pair).toFixed(1)} pair tensors)` : format(bytes));

  const show = () => {
    const step = Number(slider.value);
    const held = bands.map(([name, array, points]) => [points.findLast(([first]) => first <= step)?.[1] ?? 0, name, array]);
    const all = held.reduce((sum, [bytes]) => sum + bytes, 0);
    const stage = stages.findLast(([, first]) => first <= step)?.[0];
    const lines = held.filter(([bytes]) => bytes).sort(([a], [b]) => b - a).slice(0, 5);
    const alive = `step ${step + 1} of ${steps}${stage ? `, ${stage}` : ""}: ${sized(all)} alive`;
    const parts = lines.map(([bytes, name, array]) => `${sized(bytes)} ${name}${array ? `, its largest array ${array}` : ""}`);
    contents.replaceChildren(...[alive, ...parts].map((line) => Object.assign(document.createElement("div"), { textContent: line })));
    slider.setAttribute("aria-valuetext", alive);
    cursor.style.left = `${(100 * (step + 0.5)) / steps}%`;
  };
  const point = (event) => {
    const box = canvas.getBoundingClientRect();
    slider.value = Math.floor(((event.clientX - box.left) / box.width) * steps);
    show();
  };

  canvas.append(cursor);
  moment.hidden = contents.hidden = false;
  slider.addEventListener("input", show);
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerdown", point);
  show();
}
