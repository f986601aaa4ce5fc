package gateway

import (
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/cpu"
)

// algorithms are what both legs speak: the post-quantum hybrid key exchange first, nothing with SHA-1, AES-GCM
// before other ciphers.
func algorithms() ssh.Config {
	return ssh.Config{
		KeyExchanges: []string{
			ssh.KeyExchangeMLKEM768X25519, ssh.KeyExchangeCurve25519,
			ssh.KeyExchangeECDHP256, ssh.KeyExchangeECDHP384, ssh.KeyExchangeECDHP521,
			ssh.KeyExchangeDH16SHA512, ssh.KeyExchangeDH14SHA256,
		},
		Ciphers: ciphers(),
		MACs:    []string{ssh.HMACSHA256ETM, ssh.HMACSHA512ETM, ssh.HMACSHA256, ssh.HMACSHA512},
	}
}

func ciphers() []string {
	gcm := []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM}
	rest := []string{ssh.CipherAES256CTR, ssh.CipherAES192CTR, ssh.CipherAES128CTR}
	if hasAES() {
		return slices.Concat(gcm, []string{ssh.CipherChaCha20Poly1305}, rest)
	}
	return slices.Concat([]string{ssh.CipherChaCha20Poly1305}, gcm, rest)
}

// ciphersFor is what a client is offered. In the negotiation the client's order wins, and OpenSSH puts AES-GCM last,
// at half the speed and twice the cost for both sides. Every OpenSSH since 6.2 has it, so those get nothing else
// where the processor helps with AES; clients that may lack it get the whole list.
func ciphersFor(version string) []string {
	if hasAES() && strings.HasPrefix(version, "SSH-2.0-OpenSSH_") && !oldOpenSSH(version) {
		return []string{ssh.CipherAES128GCM, ssh.CipherAES256GCM}
	}
	return ciphers()
}

// oldOpenSSH: before 6.2.
func oldOpenSSH(version string) bool {
	release := strings.TrimPrefix(version, "SSH-2.0-OpenSSH_")
	for _, old := range []string{"2.", "3.", "4.", "5.", "6.0", "6.1"} {
		if strings.HasPrefix(release, old) {
			return true
		}
	}
	return false
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
