"""Everything on one machine: Apache Kafka, PostgreSQL, the workers and who keeps them running."""
