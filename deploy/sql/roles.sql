-- Makes the two roles of Privacy Control, and gives them the database that psql is connected to. Run by a superuser,
-- once for each database, and again to change the passwords:
--   MIGRATION_PASSWORD=... SERVICE_PASSWORD=... psql -v ON_ERROR_STOP=1 -f roles.sql postgres://admin@host/privacy
-- What the service may do with each table is granted by `npm run migrate`, with DATABASE_SERVICE_ROLE.
\set ON_ERROR_STOP on
\getenv migration_password MIGRATION_PASSWORD
\getenv service_password SERVICE_PASSWORD

begin;

-- Owns the tables: used by migrations only.
select 'create role privacy_control_owner'
  where not exists (select from pg_roles where rolname = 'privacy_control_owner') \gexec
alter role privacy_control_owner with login password :'migration_password' connection limit 10
  nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

-- Reads and writes rows: used by the replicas.
select 'create role privacy_control_service'
  where not exists (select from pg_roles where rolname = 'privacy_control_service') \gexec
alter role privacy_control_service with login password :'service_password'
  nosuperuser nocreatedb nocreaterole noreplication nobypassrls;

revoke all on database :"DBNAME" from public;
grant connect on database :"DBNAME" to privacy_control_owner, privacy_control_service;
revoke all on schema public from public;
grant usage, create on schema public to privacy_control_owner;
grant usage on schema public to privacy_control_service;

commit;
