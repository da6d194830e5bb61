// Package durable writes small files that are whole or not there, whatever happens meanwhile.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// Write makes a private file with this content, in the place of what was there: whole, durable, and with its
// name, when it returns. Between the durable steps it calls step with "created", "synced" and "renamed"; an
// error of it ends the write.
//
// Errors: those of the file system, and of step; then the file from before is there, or after "renamed" the
// new one.
func Write(path string, content []byte, step func(name string) error) error {
	temp := path + ".tmp"
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if err = step("created"); err == nil {
		_, err = file.Write(content)
	}
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = step("synced")
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	if err := step("renamed"); err != nil {
		return err
	}
	return SyncFolder(filepath.Dir(path))
}

// SyncFolder makes the names in a folder durable.
//
// Errors: those of the file system.
func SyncFolder(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
