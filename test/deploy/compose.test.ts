import { globSync, readFileSync } from "node:fs";
import { expect } from "chai";
import { parse } from "yaml";
import { compose, leavesRoom, stopsWithinMs } from "./files.ts";
import { image } from "./image.ts";

describe("deploy/compose.yaml", () => {
  const { database, migrate, prometheus, "privacy-control": service } = compose.services;

  it("migrates as one role and serves as another", () => {
    const url = (host: string) => new URL(host.replace(/\$\{(\w+):\?[^}]*\}/, "$1"));
    const owner = url(migrate.environment.DATABASE_URL);
    const served = url(service.environment.DATABASE_URL);
    expect([owner.username, owner.password]).to.eql(["privacy_control_owner", "MIGRATION_PASSWORD"]);
    expect([served.username, served.password]).to.eql([
      migrate.environment.DATABASE_SERVICE_ROLE,
      "SERVICE_PASSWORD",
    ]);
    for (const { pathname } of [owner, served])
      expect(pathname).to.equal(`/${database.environment.POSTGRES_DB}`);
    const roles = readFileSync("deploy/sql/roles.sql", "utf8");
    for (const { username, password } of [owner, served]) {
      expect(roles).to.contain(`create role ${username}`);
      expect(roles).to.contain(password);
      expect(database.environment).to.have.property(password);
    }
  });

  it("gives no secret a default", () => {
    const variables = [...readFileSync("deploy/compose.yaml", "utf8").matchAll(/\$\{(\w+)(:[-?])?/g)];
    const secrets = variables.filter(([, name]) => /PASSWORD|SECRET/.test(name ?? ""));
    expect(secrets).to.have.length.above(5);
    for (const [, name, operator] of secrets) expect(operator, name).to.equal(":?");
  });

  it("starts two replicas after the migration, each on its own ports", () => {
    expect(service.deploy.replicas).to.equal(2);
    expect(service.depends_on).to.eql({ migrate: { condition: "service_completed_successfully" } });
    expect(migrate.depends_on).to.eql({ database: { condition: "service_healthy" } });
    expect(service.ports).to.eql(["127.0.0.1:7001-7002:7001", "127.0.0.1:50051-50052:50051"]);
  });

  it("mounts files that exist, and publishes no port of the database", () => {
    const mounted = [...database.volumes, ...prometheus.volumes].map(
      (mount: string) => mount.split(":")[0] ?? "",
    );
    for (const path of mounted.filter((name) => name.startsWith("./")))
      expect(globSync(`deploy/${path}`), path).to.have.length(1);
    expect(database.ports).to.equal(undefined);
    expect(database.networks).to.eql(["database"]);
    expect(migrate.networks).to.eql(["database"]);
    expect(service.networks).to.eql(["database", "default"]);
    expect(prometheus.networks).not.to.include("database");
    expect(compose.networks.database.internal).to.equal(true);
  });

  it("hardens our containers and Prometheus", () => {
    for (const { read_only, cap_drop, security_opt } of [migrate, service, prometheus])
      expect([read_only, cap_drop, security_opt]).to.eql([true, ["ALL"], ["no-new-privileges:true"]]);
  });

  it("has Prometheus scrape every replica", () => {
    const { scrape_configs } = parse(readFileSync("deploy/prometheus/prometheus.yaml", "utf8"));
    const [target] = scrape_configs[0].dns_sd_configs;
    expect(compose.services).to.have.property(target.names[0]);
    expect(image.exposed).to.include(target.port);
    expect(service.environment.ADMIN_HOST).to.equal("0.0.0.0");
  });

  it("gives each replica memory beside that of the relationship graph", () => {
    expect(leavesRoom("768M")).to.equal(false);
    expect(service.deploy.resources.limits.memory).to.satisfy(leavesRoom);
  });

  it("waits for the delay before draining and the calls in flight", () => {
    expect(Number.parseInt(service.stop_grace_period, 10) * 1_000).to.be.above(stopsWithinMs);
  });
});
