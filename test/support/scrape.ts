/** One line of a scrape. */
interface Series {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

/** What Prometheus reads of a service. */
export interface Scraped {
  readonly text: string;
  readonly series: readonly Series[];
  /** The types of the metrics that are declared, by name. */
  readonly types: ReadonlyMap<string, string>;
  /** The value of the one series with these labels; undefined when there is none. */
  value(name: string, labels?: Record<string, string>): number | undefined;
}

/** Reads the metrics of an operators' listener, as Prometheus' text format 0.0.4. */
export async function scrape(adminUrl: string): Promise<Scraped> {
  const response = await fetch(`${adminUrl}/metrics`);
  if (response.status !== 200) throw new Error(`the scrape was answered ${response.status}`);
  const text = await response.text();
  const lines = text.split("\n").filter((line) => line !== "");
  const types = new Map(
    lines.flatMap((line): [string, string][] => {
      const [, name, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? [];
      return name === undefined || type === undefined ? [] : [[name, type]];
    }),
  );
  const series = lines.filter((line) => !line.startsWith("#")).map(parse);
  const key = (labels: Readonly<Record<string, string>>) => JSON.stringify(Object.entries(labels).sort());
  return {
    text,
    series,
    types,
    value: (name, labels = {}) =>
      series.find((one) => one.name === name && key(one.labels) === key(labels))?.value,
  };
}

function parse(line: string): Series {
  const [, name, labels = "", value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
  if (name === undefined || value === undefined) throw new Error(`not a line of a scrape: ${line}`);
  const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)].map(([, label = "", text = ""]) => [
    label,
    text,
  ]);
  return { name, labels: Object.fromEntries(pairs), value: Number(value.replace("Inf", "Infinity")) };
}
