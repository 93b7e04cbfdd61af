// The first page: what is going on now.
import { get } from "../lib/api.js";
import { html, useEffect } from "../lib/html.js";
import { duration, moment, number, t } from "../lib/i18n.js";
import { to } from "../lib/router.js";
import { Icon } from "../lib/ui/icon.js";
import { describeProblem } from "../lib/ui/problem.js";
import { EmptyState, ErrorState, LoadingState } from "../lib/ui/states.js";
import { Chart } from "./charts.js";
import { connection, epoch, heard, rates, seedRates } from "./events.js";
import { figures, percentiles, trouble } from "./figures.js";
import { Lanes } from "./lanes.js";
import { Heading, Meter, uptime } from "./parts.js";
import { isOpen, mayOperate } from "./roles.js";

// Milliseconds between the lines of a chart of durations: each is written without being rounded.
const DURATION_STEPS = [
  ...[-1, 0, 1, 2, 3].flatMap((power) => [1, 2, 5].map((first) => Number(`${first}e${power}`))),
  ...[10, 30, 60, 120, 300, 600, 1800, 3600].map((seconds) => seconds * 1000),
];

function Tile({ label, value, note, children }) {
  return html`<div class="tile"><dt>${label}</dt><dd>${value}</dd>${note && html`<dd class="note">${note}</dd>`}${children}</div>`;
}

function Tiles() {
  const told = figures.value;
  if (!told) return trouble.value ? html`<${ErrorState} problem=${trouble.value} />` : html`<${LoadingState} lines=${2} />`;
  const { abiertos: open, limite: limit, espera_ms: wait, proceso_ms: work } = told;
  const held = told.workers.reduce((sum, worker) => sum + worker.en_mano, 0);
  return html`<dl class="tiles">
    <${Tile} label=${t("tile.open")} value=${number(open)} note=${t("tile.open.note", { limit })}>
      <dd><${Meter} value=${open} limit=${limit} label=${t("tile.open")} /></dd>
    <//>
    <${Tile} label=${t("tile.rate")} value=${number(told.por_segundo, 1)} note=${t("tile.rate.note")} />
    <${Tile} label=${t("tile.wait")} value=${duration(wait?.p50)} note=${wait && t("tile.p95", { value: duration(wait.p95) })} />
    <${Tile} label=${t("tile.work")} value=${duration(work?.p50)} note=${work && t("tile.p95", { value: duration(work.p95) })} />
    <${Tile} label=${t("tile.accepted")} value=${number(told.aceptados)} note=${t("tile.accepted.note", { held })} />
  </dl>`;
}

function Workers() {
  const told = figures.value;
  if (!told) return trouble.value ? html`<p class="note">${describeProblem(trouble.value)}</p>` : html`<${LoadingState} lines=${3} />`;
  if (!told.workers.length) return html`<${EmptyState} icon="gear" title=${t("workers.none")} />`;
  const most = Math.max(...told.workers.map((worker) => worker.en_mano), 1);
  return html`<div class="scroll"><table>
    <caption class="unseen">${t("workers.title")}</caption>
    <thead><tr><th scope="col">${t("workers.id")}</th><th scope="col" class="figure">PID</th><th scope="col">${t("workers.held")}</th></tr></thead>
    <tbody>
      ${told.workers.map(
        ({ id, pid, en_mano: held }) => html`<tr key=${id}>
          <th scope="row">${id}</th><td class="figure">${pid}</td>
          <td><span class="level"><span style=${{ width: `${(held / most) * 100}%` }}></span></span><span class="figure">${number(held)}</span></td>
        </tr>`,
      )}
    </tbody>
  </table></div>`;
}

function Connection() {
  const state = connection.value;
  const told = figures.value;
  return html`<dl class="facts">
    <div><dt>${t("connection.stream")}</dt><dd><span class="dot" data-connection=${state}></span>${t(`connection.${state}`)}</dd></div>
    ${state === "lost" && html`<div><dt>${t("connection.since")}</dt><dd>${moment(heard.value)}</dd></div>`}
    <div><dt>${t("connection.intake")}</dt><dd>${trouble.value ? describeProblem(trouble.value) : told ? t("connection.up", { time: uptime(told.uptime_s) }) : "–"}</dd></div>
    <div><dt>${t("connection.clients")}</dt><dd class="figure">${number(told?.conexiones)}</dd></div>
  </dl>`;
}

export default function Overview() {
  useEffect(() => {
    get("/api/stats/global")
      .then(({ stats }) => seedRates(stats.pedidos.por_minuto))
      .catch(() => undefined);
  }, [epoch.value]);
  return html`<${Heading} title=${t("overview.title")} hint=${t("overview.hint")}>
      ${mayOperate.value && html`<a class="button primary" href=${to("orders")}><${Icon} name="plus" /><span>${t("orders.new")}</span></a>`}
    <//>
    ${isOpen.value && html`<p class="stage"><${Icon} name="warning" /><span>${t("stage.open")}</span><a href=${to("sign-in")}>${t("signin.go")}</a></p>`}
    <${Tiles} />
    <h2 class="unseen">${t("lanes.title")}</h2>
    <${Lanes} />
    <div class="columns two">
      <section class="panel">
        <h2>${t("chart.rate")}</h2>
        <${Chart}
          label=${t("chart.rate.label")}
          data=${rates}
          write=${(value) => number(value, value < 10 ? 1 : 0)}
          lines=${[
            { label: t("chart.accepted"), colour: "--line-1", filled: true },
            { label: t("chart.finished"), colour: "--line-2" },
          ]}
        />
      </section>
      <section class="panel">
        <h2>${t("chart.latency")}</h2>
        <${Chart}
          label=${t("chart.latency.label")}
          data=${percentiles}
          write=${duration}
          steps=${DURATION_STEPS}
          lines=${[
            { label: t("chart.wait50"), colour: "--line-2" },
            { label: t("chart.wait95"), colour: "--line-2", dashed: true },
            { label: t("chart.work50"), colour: "--line-1" },
            { label: t("chart.work95"), colour: "--line-1", dashed: true },
          ]}
        />
      </section>
    </div>
    <div class="columns two">
      <section class="panel"><h2>${t("workers.title")}</h2><${Workers} /></section>
      <section class="panel"><h2>${t("connection.title")}</h2><${Connection} /></section>
    </div>`;
}
