package gateway

import (
	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// algorithms are what both legs speak: the post-quantum hybrid key exchange first, nothing with SHA-1, and AES-GCM
// before anything else. ChaCha20 is offered only where the processor lacks AES: OpenSSH would prefer it, at twice
// the cost.
func algorithms() ssh.Config {
	ciphers := []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM}
	if !hasAES() {
		ciphers = append([]string{ssh.CipherChaCha20Poly1305}, ciphers...)
	}
	return ssh.Config{
		KeyExchanges: []string{
			ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
			ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
			ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDH14SHA256,
		},
		Ciphers: append(ciphers, ssh.CipherAES256CTR, ssh.CipherAES192CTR, ssh.CipherAES128CTR),
		MACs:    []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512},
	}
}

func hasAES() bool {
	return (cpu.X86.HasAES && cpu.X86.HasPCLMULQDQ) || (cpu.ARM64.HasAES && cpu.ARM64.HasPMULL)
}

// Signature algorithms for users' keys and for targets' host certificates.
var (
	userAlgorithms = []string{
		ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521, ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512,
	}
	hostAlgorithms = []string{
		ssh.CertAlgoED25519v01, ssh.CertAlgoECDSA256v01, ssh.CertAlgoECDSA384v01, ssh.CertAlgoECDSA521v01,
		ssh.CertAlgoRSASHA512v01, ssh.CertAlgoRSASHA256v01,
	}
)
