"""Plain networks: gains, mean-field theory, critical lines, Jacobian spectra and operating points."""
