"""Training of the bundled models; writes weights and facts into `repdiss_core/bundled/`."""
