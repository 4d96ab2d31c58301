"""Official numbers bug for bug, the strict one beside them, tables and export."""
