package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/cors"

	"granary/bench/content"
)

// crossOrigin sets rules for pages of other origins, and does what a browser does for such a page.
func crossOrigin(ctx context.Context, client *minio.Core) error {
	const origin = "https://app.example"
	rules := []cors.Rule{{ID: "app", AllowedOrigin: []string{"https://*.example"},
		AllowedMethod: []string{"GET", "PUT"}, AllowedHeader: []string{"*"}, ExposeHeader: []string{"ETag"},
		MaxAgeSeconds: 60}}
	if err := client.SetBucketCors(ctx, minioBucket, cors.NewConfig(rules)); err != nil {
		return fmt.Errorf("set: %w", err)
	}
	back, err := client.GetBucketCors(ctx, minioBucket)
	if err != nil || !reflect.DeepEqual(back.CORSRules, rules) {
		return fmt.Errorf("get: %+v, %w", back, err)
	}
	c := content.Content{ID: 8, Size: 1000}
	_, err = client.Client.PutObject(ctx, minioBucket, "page", c.Reader(), c.Size, minio.PutObjectOptions{})
	if err != nil {
		return err
	}
	u, err := client.PresignedGetObject(ctx, minioBucket, "page", time.Minute, nil)
	if err != nil {
		return err
	}
	for _, ask := range []struct {
		method, origin string
		status         int
		allowed        string
	}{
		{http.MethodOptions, origin, http.StatusOK, origin},
		{http.MethodGet, origin, http.StatusOK, origin},
		{http.MethodOptions, "https://evil.test", http.StatusForbidden, ""},
		{http.MethodGet, "https://evil.test", http.StatusOK, ""},
	} {
		req, err := http.NewRequestWithContext(ctx, ask.method, u.String(), nil)
		if err != nil {
			return err
		}
		req.Header.Set("Origin", ask.origin)
		if ask.method == http.MethodOptions {
			req.Header.Set("Access-Control-Request-Method", "GET")
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			return err
		}
		if got := resp.Header.Get("Access-Control-Allow-Origin"); resp.StatusCode != ask.status ||
			got != ask.allowed {
			return fmt.Errorf("%s from %s: %d, allowed %q; want %d, %q", ask.method, ask.origin,
				resp.StatusCode, got, ask.status, ask.allowed)
		}
	}
	if err := client.SetBucketCors(ctx, minioBucket, nil); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	if back, err := client.GetBucketCors(ctx, minioBucket); err != nil || back != nil {
		return fmt.Errorf("get what was deleted: %+v, %w", back, err)
	}
	return nil
}
