import { parser } from "@prometheus-io/lezer-promql";

/** What a PromQL expression reads. */
export interface Query {
  /** The metrics, with the matchers of each. */
  readonly selectors: readonly { readonly metric: string; readonly matchers: readonly Matcher[] }[];
  /** Labels by which it groups, joins or matches. */
  readonly labels: readonly string[];
}

interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

/** Reads an expression by Prometheus' own grammar. Throws for one that Prometheus would not take. */
export function readPromql(expression: string): Query {
  const selectors: { metric: string; matchers: Matcher[] }[] = [];
  const labels: string[] = [];
  parser.parse(expression).iterate({
    enter({ name, type, from, to, node }) {
      const text = expression.slice(from, to);
      if (type.isError) throw new Error(`not PromQL at ${from}: ${expression}`);
      if (name === "VectorSelector") {
        const metric = node.getChild("Identifier");
        if (metric === null) throw new Error(`a selector without a metric: ${expression}`);
        selectors.push({ metric: expression.slice(metric.from, metric.to), matchers: [] });
      } else if (name === "UnquotedLabelMatcher") {
        const [, label = "", operator = "", value = ""] = /^(\w+)\s*(=~|!~|!=|=)\s*"(.*)"$/.exec(text) ?? [];
        selectors.at(-1)?.matchers.push({ label, operator, value });
      } else if (name === "LabelName") {
        labels.push(text);
      }
    },
  });
  return { selectors, labels };
}
