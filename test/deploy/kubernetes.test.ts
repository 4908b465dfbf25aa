import { readFileSync } from "node:fs";
import { expect } from "chai";
import { parse } from "yaml";
import { readConfig } from "../../src/config/config.ts";
import { leavesRoom, object, objects, stopsWithinMs } from "./files.ts";
import { image } from "./image.ts";

const appLabel = { "app.kubernetes.io/name": "privacy-control" };
const jobTemplate = object("Job").spec.template;
const { template } = object("Deployment").spec;
const [migration] = jobTemplate.spec.containers;
const [container] = template.spec.containers;
const config = object("ConfigMap").data;

describe("deploy/kubernetes.yaml", () => {
  it("runs everything without privileges, and grants no more than it needs", () => {
    for (const { spec } of [jobTemplate, template]) {
      expect(spec.enableServiceLinks).to.equal(false);
      expect(spec.automountServiceAccountToken).to.equal(false);
      const { runAsNonRoot, runAsUser, runAsGroup, seccompProfile } = spec.securityContext;
      expect([runAsNonRoot, `${runAsUser}:${runAsGroup}`]).to.eql([true, image.user]);
      expect(seccompProfile).to.eql({ type: "RuntimeDefault" });
      for (const { securityContext, resources } of spec.containers) {
        expect(securityContext).to.eql({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ["ALL"] },
        });
        expect(resources.requests).to.have.all.keys("cpu", "memory");
        expect(resources.limits).to.have.all.keys("cpu", "memory");
      }
    }
  });

  it("selects the replicas, and never the migration", () => {
    expect(template.metadata.labels).to.eql(appLabel);
    expect(jobTemplate.metadata.labels).not.to.eql(appLabel);
    expect(object("Deployment").spec.selector.matchLabels).to.eql(appLabel);
    expect(object("PodDisruptionBudget").spec.selector.matchLabels).to.eql(appLabel);
    expect(object("NetworkPolicy").spec.podSelector.matchLabels).to.eql(appLabel);
    for (const { spec } of objects.filter(({ kind }) => kind === "Service"))
      expect(spec.selector).to.eql(appLabel);
    expect(object("HorizontalPodAutoscaler").spec.scaleTargetRef.name).to.equal(
      object("Deployment").metadata.name,
    );
  });

  it("never has fewer than two replicas on purpose", () => {
    expect(object("Deployment").spec).not.to.have.property("replicas");
    expect(object("Deployment").spec.strategy.rollingUpdate.maxUnavailable).to.equal(0);
    expect(object("HorizontalPodAutoscaler").spec.minReplicas).to.be.at.least(2);
    expect(object("PodDisruptionBudget").spec.maxUnavailable).to.equal(1);
  });

  it("names every port once, as the image exposes it", () => {
    const ports = new Map<string, number>(
      container.ports.map((port: { name: string; containerPort: number }) => [port.name, port.containerPort]),
    );
    expect([...ports.values()]).to.eql(image.exposed);
    const services = objects.filter(({ kind }) => kind === "Service").flatMap(({ spec }) => spec.ports);
    for (const { targetPort } of services) expect(ports.has(targetPort), targetPort).to.equal(true);
    const policy = object("NetworkPolicy").spec.ingress.flatMap(
      (rule: { ports: { port: string }[] }) => rule.ports,
    );
    expect(policy.map(({ port }: { port: string }) => port)).to.have.members([...ports.keys()]);
    const { scrape_configs } = parse(readFileSync("deploy/prometheus/kubernetes.yaml", "utf8"));
    const kept = scrape_configs[0].relabel_configs
      .filter(({ action }: { action?: string }) => action === "keep")
      .map(({ regex }: { regex: string }) => regex);
    expect(kept).to.eql([template.metadata.labels["app.kubernetes.io/name"], "metrics"]);
    expect([...ports.keys()]).to.include("metrics");
    for (const { httpGet } of [container.startupProbe, container.readinessProbe, container.livenessProbe])
      expect(httpGet.port).to.equal("metrics");
    expect(config.ADMIN_HOST).to.equal("0.0.0.0");
    expect(container.readinessProbe.httpGet.path).to.equal("/readyz");
  });

  it("gives each replica memory beside that of the relationship graph", () => {
    expect(container.resources.limits.memory).to.satisfy(leavesRoom);
  });

  it("waits for the delay before draining and the calls in flight", () => {
    expect(template.spec.terminationGracePeriodSeconds * 1_000).to.be.above(stopsWithinMs + 5_000);
  });

  it("names the trusted proxies", () => {
    const { rules } = readConfig({ TRUSTED_PROXIES: config.TRUSTED_PROXIES }).rates.trustedProxies;
    expect(rules).to.have.length.above(0);
  });

  it("reads secrets from Secret objects", () => {
    for (const { env } of [migration, container])
      for (const { name, value } of env)
        if (name !== "DATABASE_SERVICE_ROLE") expect(value, name).to.equal(undefined);
    expect(Object.keys(config).filter((name) => /URL$|SECRET|PASSWORD/.test(name))).to.eql(["JWKS_URL"]);
    expect(container.envFrom).to.eql([{ configMapRef: { name: object("ConfigMap").metadata.name } }]);
  });
});
