// Addresses to which purchases are sent.
import { html } from "../lib/html.js";
import { t } from "../lib/i18n.js";
import { Field } from "../lib/ui/field.js";

/** The fields of an address: name, what browsers fill in, whether it has to be there. */
const FIELDS = [
  ["name", "name", true],
  ["street", "street-address", true],
  ["postal_code", "postal-code", true],
  ["city", "address-level2", true],
  ["region", "address-level1", false],
  ["country", "country-name", true],
];
const MAX_LENGTH = 300;

/** Returns an address without anything in it. */
export function emptyAddress() {
  return Object.fromEntries(FIELDS.map(([name]) => [name, ""]));
}

/** Returns an address as it is sent: without what is empty, and without blanks around the values. */
export function trimAddress(address) {
  return Object.fromEntries(
    Object.entries(address)
      .map(([name, value]) => [name, String(value ?? "").trim()])
      .filter(([, value]) => value),
  );
}

/** Returns what is missing in an address, as texts by field. */
export function checkAddress(address) {
  const sent = trimAddress(address);
  const missing = FIELDS.filter(([name, , isNeeded]) => isNeeded && !sent[name]);
  return Object.fromEntries(missing.map(([name]) => [name, t(`address.${name}.missing`)]));
}

/** Returns the lines of an address, whatever members it has. */
export function addressLines(address) {
  const { name, street, postal_code: code, city, region, country, ...others } = trimAddress(address);
  return [name, street, [code, city].filter(Boolean).join(" "), region, country, ...Object.values(others)].filter(Boolean);
}

/** An address in lines. */
export function Address({ address }) {
  return html`<address>${addressLines(address).map((line) => html`<span key=${line}>${line}</span>`)}</address>`;
}

/** The fields of an address; `change(address)` is called with each change, and `wrong(field)` says what is wrong. */
export function AddressFields({ address, change, wrong }) {
  return html`<div class="address-fields">
    ${FIELDS.map(
      ([name, autocomplete, isNeeded]) => html`<div key=${name} data-field=${name}>
        <${Field} label=${isNeeded ? t(`address.${name}`) : t("address.optional", { field: t(`address.${name}`) })} name=${name} autocomplete=${`shipping ${autocomplete}`} maxlength=${MAX_LENGTH} aria-required=${isNeeded ? "true" : undefined} value=${address[name] ?? ""} onValue=${(value) => change({ ...address, [name]: value })} error=${wrong(name)} />
      </div>`,
    )}
  </div>`;
}
