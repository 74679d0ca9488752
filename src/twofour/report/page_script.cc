#include "twofour/report/page_script.h"

namespace twofour::report {

const char* const kPageScript = R"js(
for (const figure of document.querySelectorAll("figure")) {
  const svg = figure.querySelector("svg"), guide = svg.querySelector(".guide");
  const tip = figure.appendChild(document.createElement("div"));
  tip.className = "tip";
  const make = (name, properties) => Object.assign(document.createElement(name), properties);
  const numbers = text => text.trim().split(" ").map(Number);
  const curves = Array.from(svg.querySelectorAll("polyline"), line => ({
    name: line.dataset.name,
    colour: getComputedStyle(line).stroke,
    steps: numbers(line.dataset.steps),
    values: line.dataset.values.split(" "),
    places: line.getAttribute("points").trim().split(" ").map(point => Number(point.split(",")[0])),
  }));
  const nearest = (places, x) => places.reduce(
    (best, place, i) => Math.abs(places[best] - x) > Math.abs(place - x) ? i : best, 0);
  svg.addEventListener("pointermove", event => {
    const box = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect();
    const scale = svg.viewBox.baseVal.width / box.width;
    const x = (event.clientX - box.left) * scale;
    const found = curves.map(curve => nearest(curve.places, x));
    const first = nearest(curves.map((curve, c) => curve.places[found[c]]), x);
    const place = curves[first].places[found[first]], step = curves[first].steps[found[first]];
    guide.setAttribute("x1", place);
    guide.setAttribute("x2", place);
    tip.replaceChildren(make("b", { textContent: "step " + step }));
    curves.forEach((curve, c) => {
      const line = make("div"), key = make("span", { className: "key" });
      key.style.background = curve.colour;
      const at = curve.steps[found[c]];
      line.append(key, curve.name + " ", make("b", { textContent: curve.values[found[c]] }),
                  at === step ? "" : " at step " + at);
      tip.append(line);
    });
    const left = box.left - outer.left + place / scale;
    const fits = figure.clientWidth - left > tip.offsetWidth + 20;
    tip.style.left = (fits ? left + 12 : left - tip.offsetWidth - 12) + "px";
    tip.style.top = (event.clientY - outer.top - 20) + "px";
    guide.style.visibility = tip.style.visibility = "visible";
  });
  svg.addEventListener("pointerleave", () => {
    guide.style.visibility = tip.style.visibility = "hidden";
  });
}
)js";

}  // namespace twofour::report
