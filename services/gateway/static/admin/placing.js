// A form that places an order.
import { get, newKey, post } from "../lib/api.js";
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Field } from "../lib/ui/field.js";
import { Icon } from "../lib/ui/icon.js";
import { describeProblem } from "../lib/ui/problem.js";
import { EmptyState } from "../lib/ui/states.js";
import { Follow } from "./following.js";

const EMPTY = { producto: "", cantidad: "1" };
const BLANK = { cliente: "", productos: [EMPTY], direccion: "", prioridad: "normal" };

/** The order that a form stands for. */
export function orderOf(form) {
  return {
    cliente: form.cliente,
    productos: form.productos.map(({ producto, cantidad, ...rest }) => ({
      ...rest,
      producto,
      cantidad: /^\d+$/.test(cantidad) ? Number(cantidad) : cantidad,
    })),
    direccion: form.direccion,
    prioridad: form.prioridad,
    ...(form.no_antes_de ? { no_antes_de: form.no_antes_de } : {}),
  };
}

/** The form that stands for an order. */
export function formOf(order) {
  return {
    cliente: order.cliente,
    productos: order.productos.map((one) =>
      typeof one === "string" ? { producto: one, cantidad: "1" } : { ...one, cantidad: String(one.cantidad ?? 1) },
    ),
    direccion: order.direccion,
    prioridad: order.prioridad ?? "normal",
    no_antes_de: order.no_antes_de,
  };
}

function useStocked() {
  const [names, set] = useState([]);
  useEffect(() => {
    get("/api/v1/items", { limit: 500 })
      .then(({ items }) => set([...new Set(items.map(({ item }) => item))].slice(0, 200)))
      .catch(() => undefined);
  }, []);
  return names;
}

/** The fields of an order; `problem` is told at the field that it is about. */
export function OrderFields({ form, change, problem }) {
  const stocked = useStocked();
  const wrong = (name) => {
    if (!problem?.field) return null;
    return problem.field.replace(/^\[\d+\]\.?/, "") === name ? describeProblem(problem) : null;
  };
  const products = form.productos;
  const set = (at, member, value) =>
    change({ ...form, productos: products.map((one, place) => (place === at ? { ...one, [member]: value } : one)) });
  const row = /^productos\[(\d+|\.\.\.)\](?:\.(\w+))?$/.exec(problem?.field ?? "");
  const inRow = (at, member) => {
    if (!row || (row[2] ?? "producto") !== member) return null;
    if (row[1] !== "...") return Number(row[1]) === at ? describeProblem(problem) : null;
    // The server does not say which row it is: the first that cannot be right is meant.
    const { producto, cantidad } = products[at];
    const bad = member === "producto" ? !producto.trim() : !/^\d+$/.test(cantidad) || Number(cantidad) < 1;
    return bad ? describeProblem(problem) : null;
  };
  return html`<${Field} label=${t("order.customer")} name="cliente" autocomplete="name" value=${form.cliente} error=${wrong("cliente")} onValue=${(cliente) => change({ ...form, cliente })} />
    <fieldset class="rows">
      <legend>${t("order.products")}</legend>
      ${products.map(
        (one, at) => html`<div class="row" key=${at}>
          <${Field} label=${t("order.product")} list="stocked" value=${one.producto} described=${inRow(at, "producto") ? "row-error" : undefined} onValue=${(value) => set(at, "producto", value)} />
          <${Field} label=${t("order.quantity")} small type="number" min="1" inputmode="numeric" value=${one.cantidad} described=${inRow(at, "cantidad") ? "row-error" : undefined} onValue=${(value) => set(at, "cantidad", value)} />
          <${Button}
            kind="quiet"
            icon="trash"
            label=${t("order.remove", { n: at + 1 })}
            disabled=${products.length === 1}
            onClick=${() => change({ ...form, productos: products.filter((_, place) => place !== at) })}
          />
          ${(inRow(at, "producto") ?? inRow(at, "cantidad")) && html`<p class="error" id="row-error">${describeProblem(problem)}</p>`}
        </div>`,
      )}
      ${wrong("productos") && html`<p class="error">${wrong("productos")}</p>`}
      <${Button} icon="plus" kind="quiet" onClick=${() => change({ ...form, productos: [...products, EMPTY] })}>${t("order.add")}<//>
      <datalist id="stocked">${stocked.map((name) => html`<option value=${name} key=${name}></option>`)}</datalist>
    </fieldset>
    <${Field} label=${t("order.address")} name="direccion" autocomplete="street-address" value=${form.direccion} error=${wrong("direccion")} onValue=${(direccion) => change({ ...form, direccion })} />
    <${Field} as="select" label=${t("order.priority")} name="prioridad" value=${form.prioridad} error=${wrong("prioridad")} onValue=${(prioridad) => change({ ...form, prioridad })}>
      ${["alta", "normal", "baja"].map((key) => html`<option value=${key} selected=${key === form.prioridad} key=${key}>${t(`priority.${key}`)}</option>`)}
    <//>`;
}

/** Whether a problem is told at one of the fields. */
export function isAtField(problem) {
  return /^(\[\d+\]\.?)?(cliente|direccion|prioridad|productos)/.test(problem?.field ?? "");
}

export function NewOrder() {
  const [form, change] = useState(BLANK);
  const [problem, setProblem] = useState(null);
  const [busy, setBusy] = useState(false);
  const [followed, setFollowed] = useState([]);
  const key = useRef({ text: null, key: null });
  const element = useRef(null);
  const follows = useRef(null);

  const place = async (event) => {
    event.preventDefault();
    const text = JSON.stringify(orderOf(form));
    // The same order has the same key until it is accepted: a lost answer does not make it two.
    if (key.current.text !== text) key.current = { text, key: newKey() };
    setBusy(true);
    try {
      const accepted = await post("/api/v1/orders", text, { "Idempotency-Key": key.current.key });
      key.current = { text: null, key: null };
      setProblem(null);
      setFollowed((before) => [{ id: accepted.id, cliente: form.cliente, accepted }, ...before].slice(0, 4));
      change(BLANK);
    } catch (found) {
      setProblem(found);
    }
    setBusy(false);
  };
  useEffect(() => {
    if (followed.length) follows.current.scrollIntoView({ block: "nearest" });
  }, [followed]);
  useEffect(() => {
    if (problem) element.current.querySelector("[aria-invalid]")?.focus();
  }, [problem]);

  return html`<div class="columns form">
    <form class="panel" ref=${element} onSubmit=${place} novalidate aria-label=${t("orders.new")}>
      <h2>${t("order.title")}</h2>
      <${OrderFields} form=${form} change=${change} problem=${problem} />
      ${problem &&
      !isAtField(problem) &&
      html`<p class="error" role="alert"><${Icon} name="warning" />${describeProblem(problem)}</p>`}
      <footer><button type="submit" class="button primary" disabled=${busy}><span>${t(busy ? "order.placing" : "order.place")}</span></button></footer>
    </form>
    <section class="panel" aria-labelledby="followed">
      <h2 id="followed">${t("follow.title")}</h2>
      ${followed.length === 0 && html`<${EmptyState} icon="orders" title=${t("follow.none")}><p>${t("follow.none.hint")}</p><//>`}
      <div class="follows" ref=${follows}>${followed.map((one) => html`<${Follow} order=${one} key=${one.id} />`)}</div>
    </section>
  </div>`;
}
