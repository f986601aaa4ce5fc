package control

// certificates serves CertificateService.
type certificates struct{ *door }

// tokens serves TokenService.
type tokens struct{ *door }
