// The best scores, and a form that saves one.
import { get, post } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { number, t } from "../lib/i18n.js";
import { Field } from "../lib/ui/field.js";
import { describeProblem } from "../lib/ui/problem.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { showToast } from "../lib/ui/toast.js";
import { Heading } from "./parts.js";
import { namePlayer, token, userId } from "./player.js";
import { useLiveResource } from "./resource.js";
import { mayPlay } from "./roles.js";

function Save({ saved }) {
  const [score, setScore] = useState("");
  const [problem, setProblem] = useState(null);
  const save = async (event) => {
    event.preventDefault();
    try {
      const { nuevo_record: record, puntaje_maximo: best } = await post("/api/guardar_puntaje", {
        ...namePlayer(),
        puntaje: /^-?\d+$/.test(score) ? Number(score) : score,
      });
      setScore("");
      setProblem(null);
      showToast(t(record ? "ranking.record" : "ranking.saved", { best }));
      saved();
    } catch (found) {
      setProblem(found);
    }
  };
  return html`<form class="panel" onSubmit=${save} novalidate>
    <h2>${t("ranking.save.title")}</h2>
    ${!token.value && html`<${Field} label=${t("settings.user")} type="number" min="1" inputmode="numeric" value=${userId.value} onValue=${(value) => (userId.value = value || "1")} />`}
    <${Field} label=${t("ranking.score")} type="number" inputmode="numeric" value=${score} onValue=${setScore} error=${problem && describeProblem(problem)} />
    <footer><button type="submit" class="button primary"><span>${t("ranking.save")}</span></button></footer>
  </form>`;
}

export default function Ranking() {
  const resource = useLiveResource(() => get("/api/stats/global"), "ranking", { every: 5000 });
  // What was saved is counted a moment later.
  const soon = () => setTimeout(resource.reload, 400);
  return html`<${Heading} title=${t("nav.ranking")} hint=${t("ranking.hint")} />
    <div class=${mayPlay.value ? "columns form" : "columns"}>
      <section class="panel">
        <${Loaded} resource=${resource}>
          ${({ stats }) => {
            const best = Math.max(...stats.ranking.map((one) => one.puntaje_maximo), 1);
            return html`<dl class="tiles flat">
                <div class="tile"><dt>${t("ranking.users")}</dt><dd>${number(stats.total_usuarios)}</dd></div>
                <div class="tile"><dt>${t("ranking.active")}</dt><dd>${number(stats.usuarios_activos)}</dd></div>
                <div class="tile"><dt>${t("ranking.mean")}</dt><dd>${number(stats.puntaje_promedio, 1)}</dd></div>
              </dl>
              ${stats.ranking.length === 0
                ? html`<${EmptyState} icon="ranking" title=${t("ranking.none")}>${mayPlay.value && html`<p>${t("ranking.none.hint")}</p>`}<//>`
                : html`<div class="scroll"><table>
                    <caption class="unseen">${t("nav.ranking")}</caption>
                    <thead><tr><th scope="col" class="figure">#</th><th scope="col">${t("ranking.who")}</th><th scope="col">${t("ranking.score")}</th><th scope="col" class="figure">${t("ranking.games")}</th></tr></thead>
                    <tbody>
                      ${stats.ranking.map(
                        ({ posicion, user_id, nombre, puntaje_maximo, partidas }) => html`<tr key=${user_id} class=${String(user_id) === userId.value ? "own" : ""}>
                          <td class="figure"><span class="place" data-place=${posicion}>${posicion}</span></td>
                          <th scope="row">${nombre ?? t("ranking.user", { user: String(user_id) })}</th>
                          <td><span class="level"><span style=${{ width: `${Math.max((puntaje_maximo / best) * 100, 0)}%` }}></span></span><span class="figure">${number(puntaje_maximo)}</span></td>
                          <td class="figure">${number(partidas)}</td>
                        </tr>`,
                      )}
                    </tbody>
                  </table></div>`}`;
          }}
        <//>
      </section>
      ${mayPlay.value && html`<${Save} saved=${soon} />`}
    </div>`;
}
