"""Models whose truth is known, to test the audit on: planted artefacts, seeded training, behaviour measured apart."""
