"""PostgreSQL: tables and the transactions over them."""
