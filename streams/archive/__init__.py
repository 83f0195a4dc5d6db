"""Archive: results into ClickHouse."""
