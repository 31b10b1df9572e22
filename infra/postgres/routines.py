"""The routines that run in the database for the sink; for migrations, and for schemas of a replay's own."""

from typing import Final

_COLUMNS: Final = (
    "id, tenant_id, scan_id, record_index, activity_key, code, pointer, errors, original,"
    " kafka_partition, kafka_offset, rejected_at"
)
# The writer may move a rejection, and neither delete nor change one. The function belongs to the tables of its own schema;
# who means others (a session with another search_path) is refused.
TAKE_REJECTIONS: Final = f"""
DO $outer$ BEGIN EXECUTE format($text$
CREATE FUNCTION take_rejections(meant regclass, ids bigint[], at_partition int, at_offset bigint) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = %I, pg_temp AS $body$
BEGIN
    IF meant <> 'rejected_records'::regclass THEN
        RAISE EXCEPTION 'take_rejections belongs to the tables of another schema' USING ERRCODE = '42P17';
    END IF;
    WITH taken AS (DELETE FROM rejected_records WHERE id = ANY (ids) RETURNING {_COLUMNS})
    INSERT INTO mended_records ({_COLUMNS}, mended_partition, mended_offset)
    SELECT {_COLUMNS}, at_partition, at_offset FROM taken;
END $body$ $text$, current_schema()); END $outer$
"""
# nobody but the owner, until somebody is granted it
CLOSE_TAKE_REJECTIONS: Final = "REVOKE ALL ON FUNCTION take_rejections FROM PUBLIC"
# The monitor sees offsets, what was done about dead letters and counts without their tenants, and no record. Nothing where
# there is no such role.
LET_THE_MONITOR_READ: Final = """
DO $$ BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'scanline_monitor') THEN
        GRANT USAGE ON SCHEMA public TO scanline_monitor;
        GRANT SELECT ON stream_offsets TO scanline_monitor;
        GRANT SELECT (letter_partition, letter_offset, failed_at_ms, action) ON dead_letter_actions TO scanline_monitor;
        GRANT SELECT (day, category, stored, sensitive, cross_border) ON tenant_day_counts TO scanline_monitor;
    END IF;
END $$
"""
