// Lines over time. The library for them comes when the first is drawn.
import { html, useEffect, useRef } from "../lib/html.js";
import { isDark, language } from "../lib/settings.js";

const HEIGHT = 190;
const REDRAW_MS = 1000;
// Steps of an axis whose multiples need one decimal at most.
const STEPS = [-2, -1, 0, 1, 2, 3, 4, 5, 6, 7].flatMap((power) => [1, 2, 5].map((first) => Number(`${first}e${power}`)));
let library = null;

/** A colour as a canvas understands it. */
function colourOf(name, within) {
  within.style.color = `var(${name})`;
  const { color } = getComputedStyle(within);
  within.style.color = "";
  return color;
}

/**
 * A chart of `data()`, drawn anew every second while it is seen. Each of `lines` has a label, a colour (the name
 * of a property), how its values are written, and whether it is dashed.
 * `steps` are those that its axis may have.
 */
export function Chart({ label, data, lines, write, steps = STEPS }) {
  const place = useRef(null);
  const dark = isDark();
  const locale = language.value;
  useEffect(() => {
    const element = place.current;
    let chart = null;
    let timer = 0;
    let ended = false;
    const sized = new ResizeObserver(() => chart?.setSize({ width: element.clientWidth, height: HEIGHT }));
    library ??= import("../vendor/uplot/uPlot.js");
    library.then(({ default: Plot }) => {
      if (ended) return;
      const muted = colourOf("--muted", element);
      const rule = colourOf("--rule", element);
      const axis = { stroke: muted, grid: { stroke: rule, width: 1 }, ticks: { show: false }, font: "11px system-ui" };
      const clock = new Intl.DateTimeFormat(locale, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
      const options = {
        width: element.clientWidth,
        height: HEIGHT,
        padding: [10, 8, 0, 0],
        cursor: { drag: { x: false, y: false }, points: { size: 7 } },
        legend: { markers: { dash: (_, at) => (lines[at - 1]?.dashed ? "dashed" : "solid") } },
        scales: { x: { range: span }, y: { range: (_, __, top) => [0, Math.max((top ?? 0) * 1.15, 1)] } },
        axes: [
          { ...axis, size: 30, space: 80, values: (_, at) => at.map((second) => clock.format(second * 1000)) },
          { ...axis, size: 56, space: 34, incrs: steps, values: (_, found) => found.map(write) },
        ],
        series: [
          { label: "", value: (_, second) => (second ? clock.format(second * 1000) : "") },
          ...lines.map((line) => {
            const colour = colourOf(line.colour, element);
            return {
              label: line.label,
              stroke: colour,
              width: 1.75,
              dash: line.dashed ? [5, 4] : undefined,
              fill: line.filled ? colour.replace("rgb(", "rgba(").replace(")", ", 0.12)") : undefined,
              points: { show: false },
              spanGaps: true,
              value: (self, value) => write(value ?? lastOf(self.data[self.series.findIndex((one) => one.label === line.label)])),
            };
          }),
        ],
      };
      chart = new Plot(options, data(), element);
      sized.observe(element);
      timer = setInterval(() => document.hidden || chart.setData(data()), REDRAW_MS);
    });
    return () => {
      ended = true;
      clearInterval(timer);
      sized.disconnect();
      chart?.destroy();
    };
  }, [dark, locale]);
  return html`<div class="chart" role="img" aria-label=${label} ref=${place}></div>`;
}

// At least a minute, up to now where there is nothing yet.
function span(_, from, until) {
  const end = until ?? Date.now() / 1000;
  return [Math.min(from ?? end, end - 60), end];
}

function lastOf(values) {
  return values.length ? values[values.length - 1] : null;
}
