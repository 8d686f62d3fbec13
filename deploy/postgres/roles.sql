-- The roles of a frame's database, and what each may do. Run it as a superuser, in the database
-- that the frame settles to; it may be run again:
--
--     createdb bezant
--     psql -d bezant -v ON_ERROR_STOP=1 -f roles.sql
--     psql -d bezant -c '\password bezant'      -- or peer authentication over the Unix socket
--
-- bezant         settles: owns the schema bezant, and nothing else
-- bezant_reader  a group for consumers of balances and postings: reads, and cannot write
--
--     CREATE ROLE billing LOGIN IN ROLE bezant_reader;

DO $$
BEGIN
    IF to_regrole('bezant') IS NULL THEN
        CREATE ROLE bezant LOGIN;
    END IF;
    IF to_regrole('bezant_reader') IS NULL THEN
        CREATE ROLE bezant_reader NOLOGIN;
    END IF;
END
$$;

-- Four sessions are what a frame and the audits beside it need; a stray client takes no more.
ALTER ROLE bezant NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS CONNECTION LIMIT 16;
-- Rows reported as settled survive a crash, whatever the server's default is.
ALTER ROLE bezant SET synchronous_commit = on;

DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO bezant, bezant_reader', current_database());
    -- A consumer who forgets a transaction holds up neither vacuum nor an upgrade.
    EXECUTE format('ALTER DATABASE %I SET idle_in_transaction_session_timeout = %L',
                   current_database(), '60s');
END
$$;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

-- The program makes and migrates its own tables in here.
CREATE SCHEMA IF NOT EXISTS bezant AUTHORIZATION bezant;
ALTER SCHEMA bezant OWNER TO bezant;

GRANT USAGE ON SCHEMA bezant TO bezant_reader;
GRANT SELECT ON ALL TABLES IN SCHEMA bezant TO bezant_reader;
ALTER DEFAULT PRIVILEGES FOR ROLE bezant IN SCHEMA bezant GRANT SELECT ON TABLES TO bezant_reader;
