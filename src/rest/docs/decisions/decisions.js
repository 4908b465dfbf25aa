import { choices, decideCase, readCase, tiesOf, weakerOf, writeCase } from "./cases.js";

const effectWords = { ALLOW: "Allowed", LIMIT: "Limited", HIDE: "Hidden", DENY: "Denied" };
const form = document.querySelector("form");
const summary = document.querySelector("#outcome");
const body = document.querySelector("#decisions tbody");

function causeWords(cause, setting, chosen) {
  switch (cause) {
    case "SELF":
      return "the viewer is the owner";
    case "BLOCKING":
      return "the viewer blocks the owner";
    case "BLOCKED_BY":
      return "the owner blocks the viewer";
    case "AUDIENCE":
      return `the owner's audience of ${setting} is ${chosen[setting]}, which leaves the viewer out`;
    case "MUTING":
      return "the viewer mutes the owner";
    case "SIGNED_OUT":
      return "nobody is signed in";
    default:
      return "nothing restricts it";
  }
}

/** `SEND_MESSAGE` as "Send message". */
function label(name) {
  const words = name.toLowerCase().replaceAll("_", " ");
  return words[0].toUpperCase() + words.slice(1);
}

function element(name, properties = {}, ...children) {
  const { data = {}, ...rest } = properties;
  const made = Object.assign(document.createElement(name), rest);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

function choice(type, name, value, text) {
  return element("label", {}, element("input", { type, name, value }), text);
}

/** Adds the choices of the settings, which the page does not name itself. */
function addSettings() {
  const settings = Object.keys(choices).filter((name) => `${name}_exception` in choices);
  const parts = settings.map((setting) =>
    element(
      "fieldset",
      {},
      element("legend", {}, element("code", {}, setting)),
      ...choices[setting].map((audience) => choice("radio", setting, audience, audience)),
      choice("checkbox", `${setting}_exception`, "yes", "the viewer is on the exception list"),
    ),
  );
  document.querySelector("#settings").append(...parts);
}

/** The case that the form shows. */
function chosenInForm() {
  return readCase(new URLSearchParams(new FormData(form)).toString());
}

function showInForm(chosen) {
  for (const input of form.querySelectorAll("input")) input.checked = chosen[input.name] === input.value;
}

/** Nobody who is not signed in has records, and decisions about oneself need none. */
function disableWhatHasNoEffect({ viewer }) {
  for (const set of form.querySelectorAll("[data-for]"))
    set.disabled = !set.dataset.for.split(" ").includes(viewer);
  for (const input of form.querySelectorAll("[name$=_exception]")) input.disabled = viewer !== "user";
}

function outcomeCell(row, chosen) {
  const { decision, setting } = row;
  const words = (cause) => causeWords(cause, setting, chosen);
  const notes = [
    ...tiesOf(row).map(({ cause, effect }) => `Also ${effect}, but a later cause: ${words(cause)}.`),
    ...weakerOf(row).map(({ cause, effect }) => `Only ${effect}, which is weaker: ${words(cause)}.`),
  ];
  return element(
    "td",
    { className: "outcome" },
    element("strong", { className: decision.effect }, effectWords[decision.effect]),
    `: ${words(decision.cause)}.`,
    ...notes.map((note) => element("p", {}, note)),
  );
}

function tableRow(row, chosen) {
  const { interaction, decision, alone } = row;
  const heads = document.querySelectorAll("#decisions thead th");
  const cells = alone.map(({ cause, effect, rule }, index) => {
    const applies = effect !== "ALLOW";
    const wins = applies && cause === decision.cause;
    const unused = rule === "ALLOW" ? "–" : `(${rule})`;
    return element(
      "td",
      {
        className: ["cause", applies && "applies", wins && "wins"].filter(Boolean).join(" "),
        data: { head: heads[index + 1].textContent },
      },
      applies ? effect : unused,
      wins ? " decides" : "",
    );
  });
  return element(
    "tr",
    { data: { interaction, effect: decision.effect, cause: decision.cause ?? "" } },
    element("th", { scope: "row" }, label(interaction)),
    ...cells,
    outcomeCell(row, chosen),
  );
}

/** One sentence for each effect and cause, which is announced when it changes. */
function summaryOf(rows, chosen) {
  const groups = Map.groupBy(rows, ({ decision, setting }) => {
    const { effect, cause } = decision;
    return `${effectWords[effect]}, since ${causeWords(cause, setting, chosen)}`;
  });
  return [...groups].map(
    ([outcome, same]) =>
      `${outcome}: ${same.map(({ interaction }) => label(interaction).toLowerCase()).join(", ")}.`,
  );
}

function show(chosen) {
  disableWhatHasNoEffect(chosen);
  const rows = decideCase(chosen);
  body.replaceChildren(...rows.map((row) => tableRow(row, chosen)));
  summary.replaceChildren(...summaryOf(rows, chosen).map((sentence) => element("p", {}, sentence)));
}

function showAddress() {
  const chosen = readCase(location.hash);
  showInForm(chosen);
  show(chosen);
}

addSettings();
form.addEventListener("change", () => {
  const chosen = { ...readCase(location.hash), ...chosenInForm() };
  const fragment = writeCase(chosen);
  history.replaceState(null, "", fragment === "" ? location.pathname + location.search : `#${fragment}`);
  show(chosen);
});
form.addEventListener("reset", (event) => {
  event.preventDefault();
  history.replaceState(null, "", location.pathname + location.search);
  showAddress();
});
addEventListener("hashchange", showAddress);
showAddress();
