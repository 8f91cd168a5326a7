-- The letters and the pairs of neighbouring letters of texts, for the index of the search
-- (../docs/decisions.md, "Search"). A pair never has letters of two texts.
--
-- The index holds what this returned, so a changed body needs a new name for the function and for
-- the index. Names in it are resolved here and now: those who write events, or restore a dump, may
-- have any search_path. They need the right to execute it, whatever the default privileges are.

CREATE OR REPLACE FUNCTION ticket_service_grams(VARIADIC texts text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE COST 10000
BEGIN ATOMIC
    SELECT coalesce(array_agg(gram), '{}')
    FROM unnest(texts) AS text,
        string_to_array(text, NULL) AS letters,
        unnest(letters, letters[2:]) AS pair (letter, next),
        unnest(ARRAY[letter, letter || next]) AS gram
    WHERE gram IS NOT NULL;
END;

GRANT EXECUTE ON FUNCTION ticket_service_grams(text[]) TO PUBLIC;
