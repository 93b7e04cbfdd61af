// Things to do.
import { patch, post, remove } from "../lib/api.js";
import { html, useState } from "../lib/html.js";
import { moment, t } from "../lib/i18n.js";
import { Button } from "../lib/ui/button.js";
import { Confirm, Dialog } from "../lib/ui/dialog.js";
import { Field } from "../lib/ui/field.js";
import { Pager } from "../lib/ui/pager.js";
import { describeProblem } from "../lib/ui/problem.js";
import { EmptyState, Loaded } from "../lib/ui/states.js";
import { attempt } from "../lib/ui/toast.js";
import { Heading } from "./parts.js";
import { useLivePages } from "./resource.js";
import { mayOperate } from "./roles.js";

const FILTERS = { all: null, open: false, done: true };

function Edit({ task, close }) {
  const [title, setTitle] = useState(task.title);
  const [description, setDescription] = useState(task.description);
  const [problem, setProblem] = useState(null);
  const save = async (event) => {
    event.preventDefault();
    try {
      await patch(`/api/v1/tasks/${task.id}`, { title, description });
      close();
    } catch (found) {
      setProblem(found);
    }
  };
  const wrong = (field) => (problem?.field === field ? describeProblem(problem) : null);
  return html`<${Dialog} title=${t("tasks.edit")} close=${close}>
    <form onSubmit=${save} novalidate>
      <${Field} label=${t("tasks.title")} value=${title} onValue=${setTitle} error=${wrong("title")} />
      <${Field} as="textarea" rows="5" label=${t("tasks.description")} value=${description} onValue=${setDescription} error=${wrong("description")} />
      ${problem && !problem.field && html`<p class="error" role="alert">${describeProblem(problem)}</p>`}
      <footer><${Button} onClick=${close}>${t("action.cancel")}<//><button type="submit" class="button primary"><span>${t("action.save")}</span></button></footer>
    </form>
  <//>`;
}

export default function Tasks() {
  const [filter, setFilter] = useState("all");
  const pages = useLivePages("/api/v1/tasks", { completed: FILTERS[filter] }, "tasks");
  const [title, setTitle] = useState("");
  const [problem, setProblem] = useState(null);
  const [edited, setEdited] = useState(null);
  const [removed, setRemoved] = useState(null);
  const [busy, setBusy] = useState(null);

  const add = async (event) => {
    event.preventDefault();
    try {
      await post("/api/v1/tasks", { title });
      setTitle("");
      setProblem(null);
      pages.first();
      pages.reload();
    } catch (found) {
      setProblem(found);
    }
  };
  const complete = async (task) => {
    setBusy(task.id);
    await attempt(() => patch(`/api/v1/tasks/${task.id}`, { completed: !task.completed }));
    await pages.reload();
    setBusy(null);
  };
  return html`<${Heading} title=${t("nav.tasks")} hint=${t("tasks.hint")} />
    ${mayOperate.value &&
    html`<form class="panel inline" onSubmit=${add} novalidate>
      <${Field} label=${t("tasks.new")} value=${title} onValue=${setTitle} error=${problem && describeProblem(problem)} />
      <button type="submit" class="button primary"><span>${t("tasks.add")}</span></button>
    </form>`}
    <section class="panel">
      <div class="pills" role="group" aria-label=${t("tasks.filter")}>
        ${Object.keys(FILTERS).map(
          (key) => html`<button type="button" aria-pressed=${key === filter} onClick=${() => setFilter(key)} key=${key}>${t(`tasks.${key}`)}</button>`,
        )}
      </div>
      <${Loaded} resource=${pages} empty=${html`<${EmptyState} icon="tasks" title=${t("tasks.none")}>${mayOperate.value && html`<p>${t("tasks.none.hint")}</p>`}<//>`}>
        ${() => html`<ul class="lines">
          ${pages.rows.map(
            (task) => html`<li key=${task.id} class=${task.completed ? "done" : ""}>
              <input type="checkbox" id=${task.id} checked=${task.completed !== (busy === task.id)} disabled=${busy === task.id || !mayOperate.value} onChange=${() => complete(task)} />
              <label for=${task.id}><span>${task.title}</span>${task.description && html`<span class="note">${task.description}</span>`}</label>
              <time class="note" datetime=${task.created_at}>${moment(task.created_at)}</time>
              ${mayOperate.value &&
              html`<${Button} kind="quiet" icon="edit" label=${t("tasks.edit_of", { title: task.title })} onClick=${() => setEdited(task)} />
                <${Button} kind="quiet" icon="trash" label=${t("tasks.delete_of", { title: task.title })} onClick=${() => setRemoved(task)} />`}
            </li>`,
          )}
        </ul>`}
      <//>
      <${Pager} pages=${pages} />
    </section>
    ${edited && html`<${Edit} task=${edited} close=${() => (setEdited(null), pages.reload())} />`}
    ${removed &&
    html`<${Confirm}
      title=${t("tasks.delete")}
      text=${t("tasks.delete.text", { title: removed.title })}
      action=${t("tasks.delete")}
      confirm=${async () => (await attempt(() => remove(`/api/v1/tasks/${removed.id}`), t("tasks.deleted")), pages.reload())}
      close=${() => setRemoved(null)}
    />`}`;
}
