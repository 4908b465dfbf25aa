import { expect } from "chai";
import { likelyTypos, readConfig, variableNames } from "../../../src/config/config.ts";
import { ConfigError } from "../../../src/config/variables.ts";

/** What a container and a developer's shell really hold. */
const ordinary = `
  PATH HOME USER LOGNAME SHELL PWD OLDPWD SHLVL TERM TERM_PROGRAM COLORTERM LANG LANGUAGE LC_ALL LC_CTYPE TZ EDITOR
  VISUAL PAGER HOSTNAME HOSTTYPE HOST_IP HOST_NAME HOSTS DISPLAY MAIL MANPATH LS_COLORS TMPDIR TEMP XDG_RUNTIME_DIR
  XDG_DATA_DIRS XDG_DATA_HOME XDG_CONFIG_HOME SSH_AUTH_SOCK SSH_CONNECTION DBUS_SESSION_BUS_ADDRESS WSLENV WT_SESSION
  NODE NODE_OPTIONS NODE_PATH NODE_VERSION NODE_EXTRA_CA_CERTS NODE_TLS_REJECT_UNAUTHORIZED NODE_NO_WARNINGS
  NO_COLOR FORCE_COLOR YARN_VERSION INIT_CWD COLOR npm_config_cache npm_config_loglevel npm_config_node_gyp
  npm_lifecycle_event npm_lifecycle_script npm_package_name npm_package_version npm_execpath npm_node_execpath
  PORT CI DEBUG HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy ALL_PROXY SSL_CERT_FILE SSL_CERT_DIR
  GRPC_VERBOSITY GRPC_TRACE GRPC_DNS_RESOLVER GRPC_ENABLE_FORK_SUPPORT GRPC_POLL_STRATEGY LOG_FORMAT LOG_FILE
  PGHOST PGPORT PGUSER PGPASSWORD PGDATABASE PGSSLMODE POSTGRES_USER POSTGRES_PASSWORD POSTGRES_DB POSTGRES_URL
  DATABASE_PRIVATE_URL DATABASE_PUBLIC_URL DATABASE_HOST REDIS_URL SMTP_PORT FTP_PORT SMTP_HOST METRICS_PORT
  KUBERNETES_SERVICE_HOST KUBERNETES_SERVICE_PORT KUBERNETES_SERVICE_PORT_HTTPS KUBERNETES_PORT
  KUBERNETES_PORT_443_TCP KUBERNETES_PORT_443_TCP_PROTO KUBERNETES_PORT_443_TCP_PORT KUBERNETES_PORT_443_TCP_ADDR
  PRIVACY_CONTROL_SERVICE_HOST PRIVACY_CONTROL_SERVICE_PORT PRIVACY_CONTROL_SERVICE_PORT_GRPC PRIVACY_CONTROL_PORT
  PRIVACY_CONTROL_PORT_7001_TCP PRIVACY_CONTROL_PORT_7001_TCP_PROTO TLS_PROXY_SERVICE_HOST TLS_PROXY_PORT_443_TCP
  JWT_ISSUER_SERVICE_HOST JWT_ISSUER_SERVICE_PORT AWS_REGION AWS_ROLE_ARN OTEL_SERVICE_NAME POD_NAME POD_IP
  NODE_NAME NAMESPACE DOTNET_RUNNING_IN_CONTAINER DOCKER_HOST TEST_DATABASE_URL PROPERTY_SEED _ P9K_TTY
`;

describe("likely typos of variables", () => {
  it("are not found in an ordinary environment with all variables of the service", () => {
    const names = [...ordinary.trim().split(/\s+/), ...variableNames];
    expect(likelyTypos(Object.fromEntries(names.map((name) => [name, "x"])))).to.eql([]);
  });

  it("do not include variables that Kubernetes sets for services with similar names", () => {
    expect(likelyTypos({ TLS_PORT: "tcp://10.0.0.7:443", GRPCPORT: "tcp://10.0.0.7:443" })).to.eql([]);
  });

  const misses: [name: string, meant: string][] = [
    ["http_port", "HTTP_PORT"],
    ["HTTPPORT", "HTTP_PORT"],
    ["HTTP__PORT", "HTTP_PORT"],
    ["HTTP-PORT", "HTTP_PORT"],
    ["HTTP_PORTS", "HTTP_PORT"],
    ["HTTP_POTR", "HTTP_PORT"],
    ["GRCP_PORT", "GRPC_PORT"],
    ["DATABASE_URI", "DATABASE_URL"],
    ["DATABSE_URL", "DATABASE_URL"],
    ["DATADIR", "DATA_DIR"],
    ["LOGLEVEL", "LOG_LEVEL"],
    ["JWT_SECERT", "JWT_SECRET"],
    ["JWT_AUD", "JWT_AUDIENCE"],
    ["JWKS_URI", "JWKS_URL"],
    ["TLS_CERT", "TLS_CERT_FILE"],
    ["tls_client_ca", "TLS_CLIENT_CA_FILE"],
    ["host", "HOST"],
  ];
  for (const [name, meant] of misses) {
    it(`include ${name} for ${meant}`, () => {
      expect(likelyTypos({ [name]: "hunter2" })).to.eql([{ name, meant }]);
    });
  }

  it("are reported with what is missing, and without their values", () => {
    const environment = {
      NODE_ENV: "production",
      JWT_SECERT: "hunter2",
      JWT_ISSUER: "i",
      DATABASE_URI: "hunter2",
    };
    expect(() => readConfig(environment))
      .to.throw(ConfigError)
      .with.property("message")
      .that.contains("JWT_SECERT is unknown: is it JWT_SECRET?")
      .and.contains("DATABASE_URI is unknown: is it DATABASE_URL?")
      .and.not.contains("hunter2");
  });
});
