// Runs the operations of a Go client and prints the result of each; copied next to each `main.go`.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

func report(operation string, use func() error) {
	defer func() {
		if reason := recover(); reason != nil {
			fmt.Printf("failed: %s: %v\n", operation, reason)
		}
	}()
	if err := use(); err != nil {
		fmt.Printf("failed: %s: %v\n", operation, err)
	} else {
		fmt.Printf("ok: %s\n", operation)
	}
}

func require(holds bool, value any) error {
	if holds {
		return nil
	}
	text, _ := json.Marshal(value)
	return fmt.Errorf("unexpected value: %s", text)
}

func requireAll(found []string) error {
	var expected []string
	if err := json.Unmarshal([]byte(os.Getenv("TICKET_IDS")), &expected); err != nil {
		return err
	}
	slices.Sort(found)
	return require(slices.Equal(found, expected), found)
}
