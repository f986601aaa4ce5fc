package control

import "github.com/sekisho/sekisho/api/v1/apiv1connect"

// certificates serves CertificateService.
type certificates struct {
	*door
	apiv1connect.UnimplementedCertificateServiceHandler
}

// tokens serves TokenService.
type tokens struct {
	*door
	apiv1connect.UnimplementedTokenServiceHandler
}
