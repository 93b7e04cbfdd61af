// What the customer is told: purchases that have ended, and wishes that are cheaper or back in stock.
import { html, useEffect, useState } from "../../lib/html.js";
import { moment, money, plural, t } from "../../lib/i18n.js";
import { to } from "../../lib/router.js";
import { Button } from "../../lib/ui/button.js";
import { Icon } from "../../lib/ui/icon.js";
import { EmptyState, Loaded } from "../../lib/ui/states.js";
import { attempt } from "../../lib/ui/toast.js";
import { splitTitle } from "../cover.js";
import { isUnread, markSeen, removeNotice, useNotices } from "../notices.js";

const ICONS = { purchase_completed: "check", purchase_cancelled: "ban", cheaper: "bookmark", back_in_stock: "book" };

function describeNotice({ kind, title, price, price_before: before, currency }) {
  const values = { title: splitTitle(title)[0], price: money(price, currency), before: money(before, currency) };
  return t(`notice.${kind}`, values);
}

function Notice({ notice, isNew }) {
  const href = notice.purchase_id ? to("purchases", notice.purchase_id) : to("book", notice.book_id);
  const text = describeNotice(notice);
  const drop = async () => {
    if (await attempt(() => removeNotice(notice))) document.querySelector("h1").focus();
  };
  return html`<li class=${isNew ? "notice new" : "notice"} data-kind=${notice.kind}>
    <span class="notice-icon"><${Icon} name=${ICONS[notice.kind]} /></span>
    <div>
      <a href=${href}>${text}</a>
      <p class="note">${isNew && html`<strong>${t("notice.new")}</strong> · `}<time datetime=${notice.created_at}>${moment(notice.created_at)}</time></p>
    </div>
    <${Button} kind="quiet" icon="close" label=${t("notice.remove.of", { notice: text })} onClick=${drop} />
  </li>`;
}

export default function Notices() {
  const resource = useNotices();
  const { data } = resource;
  // What is new on arrival is marked as long as the reader stays.
  const [fresh, setFresh] = useState(new Set());
  useEffect(() => {
    if (!data) return;
    const unseen = data.filter(isUnread).map((one) => one.notice_id);
    if (unseen.length) setFresh((before) => new Set([...before, ...unseen]));
    markSeen(data);
  }, [data]);
  return html`<h1 tabindex="-1">${t("page.notices")}</h1>
    <p class="list-hint">${data?.length ? plural("notices.total", data.length) : t("notices.hint")}</p>
    <${Loaded} resource=${resource}>
      ${(notices) =>
        notices.length
          ? html`<ul class="notices">${notices.map((one) => html`<${Notice} key=${one.notice_id} notice=${one} isNew=${fresh.has(one.notice_id)} />`)}</ul>`
          : html`<${EmptyState} icon="notifications" title=${t("notices.none")}><p>${t("notices.none.hint")}</p><a class="button" href=${to("wishlist")}>${t("account.wishlist")}</a><//>`}
    <//>`;
}
