// Stock from a CSV file: looked at first, then imported.
import { buildQuery, get } from "../lib/api.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { number, plural, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Icon } from "../lib/ui/icon.js";
import { describeProblem } from "../lib/ui/problem.js";
import { EmptyState } from "../lib/ui/states.js";
import { epoch } from "./events.js";
import { Imports } from "./imports.js";
import { Mark } from "./parts.js";
import { mayOperate } from "./roles.js";
import { upload } from "./upload.js";

const POLL_MS = 250;

function Drop({ take, busy }) {
  const [over, setOver] = useState(false);
  const input = useRef(null);
  const drop = (event) => {
    event.preventDefault();
    setOver(false);
    const [file] = event.dataTransfer.files;
    if (file && !busy) take(file);
  };
  const choose = (event) => {
    const [file] = event.currentTarget.files;
    if (file) take(file);
    event.currentTarget.value = "";
  };
  return html`<div
    class=${`drop ${over ? "over" : ""}`}
    onDragOver=${(event) => (event.preventDefault(), setOver(true))}
    onDragLeave=${() => setOver(false)}
    onDrop=${drop}
  >
    <${Icon} name="upload" />
    <p class="title">${t("import.drop")}</p>
    <p class="note">${t("import.columns")}</p>
    <input type="file" ref=${input} accept=".csv,text/csv" class="unseen" tabindex="-1" aria-hidden="true" onChange=${choose} />
    <${Button} disabled=${busy} onClick=${() => input.current.click()}>${t("import.choose")}<//>
  </div>`;
}

function Counts({ report }) {
  return html`<dl class="tiles flat">
    ${["rows", "new", "changed", "same", "low", "faults"].filter((key) => key in report).map(
      (key) => html`<div class=${`tile ${key === "faults" && report.faults ? "bad" : ""}`} key=${key}><dt>${t(`import.${key}`)}</dt><dd>${number(report[key])}</dd></div>`,
    )}
  </dl>`;
}

function Preview({ report }) {
  const { preview = [], fault_list: faults = [] } = report;
  return html`${faults.length > 0 &&
    html`<h3>${t("import.fault_list", { n: faults.length, all: report.faults })}</h3>
      <div class="scroll low" tabindex="0" role="region" aria-label=${t("import.faults")}><table class="stacks">
        <caption class="unseen">${t("import.faults")}</caption>
        <thead><tr>${["line", "column", "field", "expected", "found"].map((key) => html`<th scope="col" class=${key === "line" || key === "column" ? "figure" : ""} key=${key}>${t(`fault.${key}`)}</th>`)}</tr></thead>
        <tbody>${faults.map(
          (one, at) => html`<tr key=${at}><th scope="row" class="figure" data-label=${t("fault.line")}>${one.line}</th><td class="figure" data-label=${t("fault.column")}>${one.column ?? "–"}</td><td data-label=${t("fault.field")}>${one.field ?? "–"}</td><td data-label=${t("fault.expected")}>${one.expected}</td><td data-label=${t("fault.found")}><code>${one.found ?? ""}</code></td></tr>`,
        )}</tbody>
      </table></div>`}
    ${preview.length > 0 &&
    html`<h3>${plural("import.preview", preview.length)}</h3>
      <div class="scroll low" tabindex="0" role="region" aria-label=${t("import.changes")}><table class="stacks">
        <caption class="unseen">${t("import.changes")}</caption>
        <thead><tr><th scope="col" class="figure">${t("fault.line")}</th><th scope="col">${t("stock.store")}</th><th scope="col">${t("stock.item")}</th><th scope="col" class="figure">${t("import.before_after")}</th></tr></thead>
        <tbody>${preview.map(
          ({ line, store, item, before, after }) => html`<tr key=${line}><td class="figure" data-label=${t("fault.line")}>${line}</td><td data-label=${t("stock.store")}>${store}</td><th scope="row">${item}</th>
            <td class="figure" data-label=${t("import.before_after")}>${(before ?? null) === null ? html`<${Mark} kind="good">${t("import.is_new")}<//>` : number(before)} <span aria-hidden="true">→</span><span class="unseen"> ${t("import.to")} </span> <strong>${number(after)}</strong></td></tr>`,
        )}</tbody>
      </table></div>`}`;
}

function Progress({ label, share }) {
  return html`<div class="progress"><p>${label}</p><progress max="1" value=${share ?? undefined} aria-label=${label}></progress></div>`;
}

/** Waits until an import is not being worked on any more; `seen` hears each state of it. */
async function settled(found, seen) {
  let current = found;
  while (current.state === "accepted" || current.state === "undoing") {
    seen(current);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      current = await get(`/imports/${current.id}`);
    } catch (problem) {
      if (problem.status !== 0 && problem.status < 500) throw problem;
    }
  }
  return current;
}

export function Importing({ reload }) {
  const [file, setFile] = useState(null);
  const [report, setReport] = useState(null);
  const [problem, setProblem] = useState(null);
  const [phase, setPhase] = useState(null);
  const [done, setDone] = useState(null);
  const [version, setVersion] = useState(0);
  const result = useRef(null);

  const send = async (chosen, options) => {
    setProblem(null);
    setPhase({ label: t(options.dry_run ? "import.looking" : "import.sending"), share: 0 });
    try {
      return await upload(`/items/upload${buildQuery({ ...options, name: chosen.name })}`, chosen, (share) =>
        setPhase({ label: t(options.dry_run ? "import.looking" : "import.sending"), share: share < 1 ? share : null }),
      );
    } catch (found) {
      if (found.report) setReport((before) => ({ ...before, ...found.report }));
      setProblem(found);
      return null;
    } finally {
      setPhase(null);
    }
  };
  const look = async (chosen) => {
    setFile(chosen);
    setReport(null);
    setDone(null);
    const found = await send(chosen, { dry_run: true });
    if (found) setReport(found);
  };
  const bring = async (options) => {
    const accepted = await send(file, options);
    if (!accepted) return;
    try {
      const ended = await settled(accepted, ({ applied, rows }) =>
        setPhase({ label: t("import.applying", { n: applied, all: rows }), share: rows ? applied / rows : null }),
      );
      setDone(ended);
      setReport(null);
    } catch (found) {
      setProblem(found);
    }
    setPhase(null);
    setVersion((count) => count + 1);
    reload();
  };
  useEffect(() => {
    if (report || done) result.current?.focus();
  }, [report, done]);

  const duplicate = report?.duplicate_of;
  const usable = report && report.rows > 0;
  const options = duplicate ? { again: true } : {};
  const imports = html`<${Imports} version=${version + epoch.value} reload=${reload} />`;
  if (!mayOperate.value) return imports;
  return html`<section class="panel">
      <h2>${t("import.title")}</h2>
      <${Drop} take=${look} busy=${phase !== null} />
      <div aria-live="polite">
        ${phase && html`<${Progress} ...${phase} />`}
        ${problem && html`<p class="error" role="alert"><${Icon} name="warning" />${describeProblem(problem)}${problem.hint ? ` (${problem.hint})` : ""}</p>`}
      </div>
      ${report &&
      html`<div class="report" ref=${result} tabindex="-1" role="region" aria-label=${t("import.report")}>
        <h3>${file.name} <span class="note">${[report.encoding, report.delimiter && t("import.delimiter", { delimiter: report.delimiter === "\t" ? "tab" : report.delimiter })].filter(Boolean).join(" · ")}</span></h3>
        <${Counts} report=${report} />
        ${duplicate && html`<p class="old"><${Icon} name="warning" />${t("import.duplicate", { id: duplicate })}</p>`}
        <${Preview} report=${report} />
        <footer>
          <${Button} onClick=${() => (setReport(null), setProblem(null))} disabled=${phase !== null}>${t("import.drop_it")}<//>
          ${usable &&
          html`<${Button} kind="primary" icon="check" disabled=${phase !== null} onClick=${() => bring(report.faults ? { ...options, partial: true } : options)}>
            ${report.faults ? plural("import.partial", report.rows) : duplicate ? t("import.again") : plural("import.go", report.rows)}
          <//>`}
        </footer>
      </div>`}
      ${done &&
      html`<div class="report" ref=${result} tabindex="-1" role="region" aria-label=${t("import.report")}><${EmptyState} icon="check" title=${plural("import.done", done.rows)}>
        <p>${t("import.done.of", { new: done.new, changed: done.changed, same: done.same })}</p>
      <//></div>`}
    </section>
    ${imports}`;
}
