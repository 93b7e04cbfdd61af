// Orders: place one, look them through, mend those that failed.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { path, to } from "../lib/router.js";
import { Failed } from "./failed.js";
import { figures } from "./figures.js";
import { OrderList } from "./orderlist.js";
import { Heading, Tabs } from "./parts.js";
import { NewOrder } from "./placing.js";
import { mayOperate } from "./roles.js";

const PARTS = { "": NewOrder, list: OrderList, failed: Failed };

export default function Orders() {
  const named = Object.hasOwn(PARTS, path.value[1]) ? path.value[1] : "";
  const part = named || mayOperate.value ? named : "list";
  const Part = PARTS[part];
  const tabs = [
    ...(mayOperate.value ? [[to("orders"), t("orders.new"), null]] : []),
    [to("orders", "list"), t("orders.list"), null],
    [to("orders", "failed"), t("orders.failed"), figures.value?.pedidos.fallido],
  ];
  return html`<${Heading} title=${t("nav.orders")} />
    <${Tabs} label=${t("nav.orders")} tabs=${tabs} current=${part ? to("orders", part) : to("orders")} />
    <${Part} />`;
}
