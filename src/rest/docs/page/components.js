import { fieldsOf } from "./presentation.js";

/** The parts of the renderer that are replaced, for a presentation. */
export function plugin({ spec, answersOfAll }) {
  return ({ React: { createElement: h } }) => ({
    components: {
      Page: pageOf(h, answersOfAll),
      // The renderer has none for the items of a list and complains.
      JsonSchema_string_uuid: (props) => h(props.getComponent("JsonSchema_string"), props),
    },
    wrapComponents: {
      // The renderer has a link in a button, which no keyboard can reach separately.
      DeepLink: () => (props) => h("span", null, props.text),
      response:
        (_, { getComponent }) =>
        (props) => {
          const Markdown = getComponent("Markdown");
          const response = props.response.toJS();
          if (props.code === "default") return h(OtherAnswers, { h, response });
          if (Number(props.code) >= 400) return h(Failures, { h, code: props.code, response, Markdown });
          return h(Success, { h, code: props.code, response, spec, Markdown });
        },
    },
  });
}

function pageOf(h, answersOfAll) {
  return function Page({ getComponent }) {
    const part = (name) => h(getComponent(name, true), { key: name });
    const section = (...children) => h("div", { className: "wrapper" }, ...children);
    return h(
      "div",
      { className: "swagger-ui" },
      h(getComponent("SvgAssets")),
      h(
        "main",
        null,
        section(part("InfoContainer")),
        h("div", { className: "scheme-container" }, section(part("AuthorizeBtnContainer"))),
        section(h("h2", { className: "part" }, "Operations"), part("operations")),
        section(h(AnswersOfAll, { h, rows: answersOfAll, Markdown: getComponent("Markdown") })),
        section(h("h2", { className: "part" }, "Types"), part("Models")),
      ),
    );
  };
}

/** A row of the answers of an operation. */
function row(h, status, code, ...children) {
  return h(
    "tr",
    { className: "response", "data-code": code },
    h("td", { className: "response-col_status" }, status),
    h("td", { className: "response-col_description" }, ...children),
  );
}

/** What a call that went well answers: its headers, and the fields of its data. */
function Success({ h, code, response, spec, Markdown }) {
  const { data } = response.content?.["application/json"].schema.properties ?? {};
  return row(
    h,
    code,
    code,
    h(Markdown, { source: response.description }),
    ...Object.entries(response.headers ?? {}).map(([name, { description }]) =>
      h(
        "div",
        { key: name, className: "header" },
        h("code", null, name),
        h(Markdown, { source: description }),
      ),
    ),
    data === undefined || data.type === "null"
      ? null
      : h(Fields, { h, fields: [fieldsOf("data", data, spec)], Markdown }),
  );
}

function Fields({ h, fields, Markdown }) {
  return h(
    "ul",
    { className: "fields" },
    ...fields.map(({ name, type, description, members }) =>
      h(
        "li",
        { key: name },
        h("code", null, name),
        h("em", null, type),
        description === undefined ? null : h(Markdown, { source: description }),
        members.length === 0 ? null : h(Fields, { h, fields: members, Markdown }),
      ),
    ),
  );
}

/** The reasons of failures, without the envelope, which is always the same. */
function Failures({ h, code, response, Markdown }) {
  const { examples } = response.content["application/json"];
  const byMeaning = Map.groupBy(Object.values(examples), ({ description }) => description);
  return row(
    h,
    code,
    code,
    h(
      "ul",
      { className: "reasons" },
      ...[...byMeaning].map(([description, same]) =>
        h(
          "li",
          { key: description },
          ...same.map(({ summary }) => h("strong", { key: summary }, summary)),
          h(Markdown, { source: description }),
        ),
      ),
    ),
  );
}

function OtherAnswers({ h, response }) {
  const link = h("a", { href: "#any-call" }, "any call");
  return row(h, "Other", "default", h("p", null, `${response.description}: as `, link, "."));
}

function AnswersOfAll({ h, rows, Markdown }) {
  const heads = ["Status", "Reason", "Text", "Meaning"];
  const code = (text) => h("code", null, text);
  return h(
    "section",
    { id: "any-call", "aria-labelledby": "any-call-heading" },
    h("h2", { className: "part", id: "any-call-heading", tabIndex: -1 }, "Answers that any call can get"),
    h(
      "p",
      null,
      "The envelope is that of the operation. Every answer has ",
      code("X-Request-Id"),
      ", which names the call in the service's log, every failure ",
      code("X-Error-Reason"),
      ", every change ",
      code("Consistency-Token"),
      ". After 429 and 503 ",
      code("Retry-After"),
      " says when to try again.",
    ),
    h(
      "table",
      { className: "answers" },
      h("thead", null, h("tr", null, ...heads.map((head) => h("th", { key: head, scope: "col" }, head)))),
      h(
        "tbody",
        null,
        ...rows.map(({ status, reason, texts, meaning }) =>
          h(
            "tr",
            { key: reason },
            h("td", null, status),
            h("th", { scope: "row" }, code(reason)),
            h("td", null, ...texts.map((text) => h("div", { key: text }, text))),
            h("td", null, h(Markdown, { source: meaning })),
          ),
        ),
      ),
    ),
  );
}

/** Gives names to the controls that the renderer leaves without one, and their levels to its headings. */
export function labelControls(page) {
  // As a region a table would not be read as a table.
  for (const table of page.querySelectorAll("table[role=region]")) table.removeAttribute("role");
  for (const control of page.querySelectorAll(":is(select, textarea, input):not([aria-label], [id])")) {
    const parameter = control.closest("tr[data-param-name]")?.dataset.paramName;
    control.setAttribute("aria-label", parameter ?? (control.matches("textarea") ? "Request body" : "Value"));
  }
  for (const button of page.querySelectorAll("button:not([aria-label])"))
    if (button.textContent === "") button.setAttribute("aria-label", "Members");
  for (const heading of page.querySelectorAll(".models > h4:not([aria-level])"))
    heading.setAttribute("aria-level", "3");
  for (const block of page.querySelectorAll("pre:not([tabindex], .version)")) block.tabIndex = 0;
}
