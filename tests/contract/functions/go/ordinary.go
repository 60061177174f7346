// Package ordinary does what an ordinary Go program does: each is "ok", or what went wrong.
package ordinary

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The image has no shell: the program starts itself, as a child that knows what it is.
func init() {
	if os.Getenv("ORDINARY_CHILD") == "" {
		return
	}
	text, _ := io.ReadAll(os.Stdin)
	fmt.Printf("%s from %d", text, os.Getppid())
	os.Exit(3)
}

func threads() error {
	var wait sync.WaitGroup
	seen, held := sync.Map{}, make(chan struct{})
	var ready sync.WaitGroup
	for range 50 {
		wait.Add(1)
		ready.Add(1)
		go func() {
			defer wait.Done()
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			seen.Store(syscall.Gettid(), true)
			ready.Done()
			<-held
		}()
	}
	ready.Wait()
	close(held)
	wait.Wait()
	count := 0
	seen.Range(func(_, _ any) bool { count++; return true })
	return expect(count, 50)
}

func subprocesses() error {
	child := exec.Command("/proc/self/exe")
	child.Env = append(os.Environ(), "ORDINARY_CHILD=yes")
	child.Stdin = strings.NewReader("hello")
	out, err := child.Output()
	if exit, ok := err.(*exec.ExitError); !ok || exit.ExitCode() != 3 {
		return fmt.Errorf("ended with %v", err)
	}
	return expect(string(out), fmt.Sprintf("hello from %d", os.Getpid()))
}

func temporaryFiles() error {
	folder, err := os.MkdirTemp("", "a")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	name := filepath.Join(folder, "file")
	if err := os.WriteFile(name, make([]byte, 1<<20), 0o600); err != nil {
		return err
	}
	if err := os.Rename(name, name+"-moved"); err != nil {
		return err
	}
	info, err := os.Stat(name + "-moved")
	if err != nil {
		return err
	}
	return expect(info.Size(), int64(1<<20))
}

func tlsClient() error {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "over tls") }))
	defer server.Close()
	answer, err := server.Client().Get(server.URL)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	body, _ := io.ReadAll(answer.Body)
	if _, err := http.Get(server.URL); err == nil {
		return fmt.Errorf("a stranger's certificate was taken")
	} else if _, ok := err.(interface{ Unwrap() error }).Unwrap().(*tls.CertificateVerificationError); !ok {
		return err
	}
	return expect(string(body), "over tls")
}

func maps() error {
	memory, err := syscall.Mmap(-1, 0, 1<<30, syscall.PROT_NONE, syscall.MAP_PRIVATE|syscall.MAP_ANON)
	if err != nil {
		return err
	}
	defer syscall.Munmap(memory)
	last := memory[len(memory)-4096:]
	if err := syscall.Mprotect(last, syscall.PROT_READ|syscall.PROT_WRITE); err != nil {
		return err
	}
	last[0] = 3
	return expect(last[0], byte(3))
}

func signals() error {
	heard := make(chan os.Signal, 1)
	signal.Notify(heard, syscall.SIGUSR1)
	defer signal.Stop(heard)
	if err := syscall.Kill(os.Getpid(), syscall.SIGUSR1); err != nil {
		return err
	}
	select {
	case got := <-heard:
		return expect(got, os.Signal(syscall.SIGUSR1))
	case <-time.After(5 * time.Second):
		return fmt.Errorf("nothing was heard")
	}
}

func expect[T comparable](got, wanted T) error {
	if got != wanted {
		return fmt.Errorf("%v, not %v", got, wanted)
	}
	return nil
}

// Handle tells all of it.
func Handle(w http.ResponseWriter, _ *http.Request) {
	told := map[string]string{}
	for name, work := range map[string]func() error{"threads": threads, "subprocesses": subprocesses, "temporary_files": temporaryFiles, "tls": tlsClient, "maps": maps, "signals": signals} {
		told[name] = "ok"
		if err := work(); err != nil {
			told[name] = err.Error()
		}
	}
	json.NewEncoder(w).Encode(told)
}
