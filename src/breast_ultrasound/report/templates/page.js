"use strict";
const specs = JSON.parse(document.getElementById("specs").textContent);
const { probability, malignant } = JSON.parse(document.getElementById("slider").textContent);
const dark = window.matchMedia("(prefers-color-scheme: dark)");
const field = (name) => document.getElementById(name);

function draw() {
  const style = getComputedStyle(document.documentElement);
  const [text, line] = ["--text", "--line"].map((name) => style.getPropertyValue(name).trim());
  const config = {
    background: "transparent",
    view: { stroke: line },
    axis: { labelColor: text, titleColor: text, gridColor: line, domainColor: line, tickColor: line },
    axisY: { labelLimit: Math.min(300, 0.4 * window.innerWidth) },
    legend: { labelColor: text, titleColor: text },
  };
  for (const [name, spec] of Object.entries(specs)) {
    vegaEmbed(field(`chart-${name}`), spec, { renderer: "svg", actions: false, config });
  }
}

function update() {
  const threshold = Number(field("threshold").value); // keys move it by a hundredth
  const prevalence = Number(field("prevalence").value) / 100;
  const count = { tp: 0, fn: 0, fp: 0, tn: 0 };
  probability.forEach((p, i) => {
    const predicted = p >= threshold;
    count[malignant[i] ? (predicted ? "tp" : "fn") : (predicted ? "fp" : "tn")] += 1;
  });
  const sensitivity = count.tp / (count.tp + count.fn);
  const specificity = count.tn / (count.tn + count.fp);
  const sick = sensitivity * prevalence, alarm = (1 - specificity) * (1 - prevalence);
  const well = specificity * (1 - prevalence), missed = (1 - sensitivity) * prevalence;
  const show = (name, value) => {
    field(name).textContent = Number.isFinite(value) ? value.toFixed(3) : "–";
  };
  show("sensitivity", sensitivity);
  show("specificity", specificity);
  const valid = prevalence > 0 && prevalence < 1;
  show("ppv", valid ? sick / (sick + alarm) : NaN);
  show("npv", valid ? well / (well + missed) : NaN);
  for (const [name, value] of Object.entries(count)) field(name).textContent = value;
  field("threshold-value").textContent = threshold.toFixed(3);
}

for (const name of ["threshold", "prevalence"]) field(name).addEventListener("input", update);
for (const button of document.querySelectorAll("button[data-threshold]")) {
  button.addEventListener("click", () => {
    field("threshold").value = button.dataset.threshold;
    update();
  });
}
dark.addEventListener("change", draw);
draw();
update();
